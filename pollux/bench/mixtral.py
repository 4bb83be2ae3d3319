# SPDX-License-Identifier: Apache-2.0
"""Times training steps of a Hugging Face Mixtral: `python mixtral.py JOB.json RESULT.json`.

A script, run by a Python that has torch and transformers and need not have pollux: it imports
nothing of it.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers

GRADIENT_NORM = 1.0


def build(job: dict) -> torch.nn.Module:
    config = transformers.MixtralConfig(**job["shape"])
    model = transformers.AutoModelForCausalLM.from_config(
        config,
        attn_implementation=job["attention"],
        experts_implementation=job["experts"],
        dtype=torch.bfloat16 if job["precision"] == "bfloat16" else torch.float32,
    )
    return model.train()


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """A batch as train/loss.py has it; its targets also as labels, which transformers shifts."""
    tokens, at = arrays["tokens"].astype(np.int64), arrays["at"].astype(np.int64)
    target = np.where(arrays["weight"] > 0, arrays["target"], -100).astype(np.int64)
    labels = np.full(tokens.size + 1, -100, np.int64)
    labels[at + 1] = target
    batch = {
        "tokens": tokens,
        "labels": labels[:-1].reshape(tokens.shape),
        "at": at,
        "target": target,
    }
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def loss_of_all(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """As transformers computes it: logits at every position."""
    return model(input_ids=batch["tokens"], labels=batch["labels"]).loss


def loss_of_supervised(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits where a target is, as ours."""
    hidden = model.model(input_ids=batch["tokens"]).last_hidden_state
    logits = model.lm_head(hidden.flatten(0, 1)[batch["at"]])
    return torch.nn.functional.cross_entropy(logits.float(), batch["target"])


def measure(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    model = build(job)
    compute = loss_of_all if job["logits"] == "all" else loss_of_supervised
    if job["compiled"]:
        compute = torch.compile(compute)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=job["precision"] == "autocast")
    with np.load(job["batches"]) as file:
        stacked = {name: file[name] for name in ("tokens", "at", "target", "weight")}
    count = len(stacked["at"])
    batches = [tensors({n: array[i] for n, array in stacked.items()}) for i in range(count)]

    def step(number: int) -> float:
        optimizer.zero_grad(set_to_none=True)
        with autocast:
            loss = compute(model, batches[number % count])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        return loss.item()

    for number in range(job["warmup"]):
        first = step(number)
    seconds, last = [], first
    while sum(seconds) < job["seconds"] or len(seconds) < job["least"]:
        start = time.perf_counter()
        last = step(job["warmup"] + len(seconds))
        seconds.append(time.perf_counter() - start)
    return {"step_s": seconds, "loss": [first, last], **parameters(model, job["shape"])}


def parameters(model: torch.nn.Module, shape: dict) -> dict[str, int]:
    """In all, and those a token passes through."""
    total = sum(p.numel() for p in model.parameters())
    routed = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    idle = 1 - shape["num_experts_per_tok"] / shape["num_local_experts"]
    return {"total": total, "active": total - round(routed * idle)}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps(measure(asked)))
