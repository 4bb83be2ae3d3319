# SPDX-License-Identifier: Apache-2.0
"""The plan for a model, a length and a machine: all figures together, and in words."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors

from pollux import checkpoint, params
from pollux.config import PRESETS, SPARK, TINY, Config
from pollux.errors import InputError, SpaceError, WeightsError
from pollux.media.sample import Sample, sample
from pollux.memory.manifest import BLOCK, SEGMENT, array_files, bytes_of, round_up
from pollux.model import decoder
from pollux.plan.cost import Job, Steps, active, answer_flops, kinds, read_flops, reading_time
from pollux.plan.machine import Machine, duration, size, this_machine
from pollux.plan.place import Kept, Placed, layouts, place, remedies, shortage
from pollux.tokenizer import Tokenizer

MOST_TOKENS = 10**15
HEADER_TOKENS = 10  # of a part: its name
FILE_BYTES = 2  # of a weight on disk: float16


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes in bytes, of the whole unless they are said to be of a chip. A CPU is one chip."""

    model: str
    machine: Machine
    tokens: int
    stored_tokens: int  # with the padding of last blocks
    parameters: int
    active_parameters: int  # a token passes through
    weights_on_disk: int
    weights_loaded: int
    bytes_per_token: float
    reading: int
    scanned: int  # of the reading, in every pass over the keys
    heads: int  # of all answer layers
    sums: int  # what every key has scored for every head, while answering
    full_attention: int  # keys and values of a full-attention model of the same shape
    flops_per_token: int
    flops_per_answer_token: int
    seconds: float  # to read
    tokens_per_second: float
    basis: str  # of the two before
    mesh: dict[str, int]  # axes of more than one
    while_reading: dict[str, int]  # memory of a chip
    while_answering: dict[str, int]
    fits: bool
    kept: Literal["disk", "RAM", "HBM"]  # where the reading is, or would be if it fitted
    short: tuple[str, ...]  # what there is too little of
    mend: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def peak(self) -> int:
        """Memory of a chip."""
        return max(sum(self.while_reading.values()), sum(self.while_answering.values()))

    @property
    def verdict(self) -> str:
        if self.fits:
            return f"yes, kept {'on' if self.kept == 'disk' else 'in'} {self.kept}"
        return f"no, short of {' and '.join(self.short)}: {', or '.join(self.mend)}"

    @property
    def line(self) -> str:
        """The plan in one line."""
        told = (
            f"{self.tokens:,} tokens with {self.model} are {size(self.reading)} of memory, take "
            f"{size(self.peak)}{' a chip' if self.machine.chips > 1 else ''} at work and about "
            f"{duration(self.seconds)} to read"
        )
        if self.fits:
            return f"{told}: {self.machine.name} has room"
        short, mend = " and ".join(self.short), ", or ".join(self.mend)
        return f"{told}, but {self.machine.name} is short of {short}: {mend}"


def tokens_of(text: str) -> int:
    """The number that 10M or 128k stands for; InputError when it is none."""
    plain = text.strip().replace(",", "").replace("_", "")
    found = re.fullmatch(r"(\d{1,16}(?:\.\d{1,16})?)([kKMGBT]?)", plain)
    scale = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "B": 9, "T": 12}
    tokens = round(float(found[1]) * 10 ** scale[found[2]]) if found else 0
    if not 1 <= tokens <= MOST_TOKENS:
        raise InputError(f"{text!r} is no number of tokens from 1 to 1000T; write 128k or 10M")
    return tokens


def config_of(model: str) -> Config:
    """Of a preset, or of a weights file, of which only the head is read."""
    if model in PRESETS:
        return PRESETS[model]
    path = Path(model)
    if path.suffix != ".safetensors":
        known = ", ".join(PRESETS)
        raise InputError(f"{model!r} is neither a model ({known}, NAME.safetensors) nor a file")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return checkpoint.parse(file.metadata() or {}, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot read {path} ({error}); train it or name another") from None


def asked(words: Sequence[str], length: str | None) -> tuple[Config, int, int]:
    """A model, or none for spark, then files: its architecture, and their tokens and parts.

    Without files `length` says how many tokens, else 10M. Files are estimated from a sample.
    """
    files, model = list(words), "spark"
    first = files[0] if files else ""
    if first and (first in PRESETS or first.endswith(".safetensors") or not os.path.exists(first)):
        model = files.pop(0)
    config = config_of(model)
    if not files:
        return config, tokens_of(length or "10M"), 1
    if length:
        raise InputError("name files or give --tokens, not both")
    taken = sample(files)
    return config, estimated_tokens(Tokenizer.load(), taken), taken.parts


def estimated_tokens(tokenizer: Tokenizer, taken: Sample) -> int:
    """Of the files that were sampled, headers of parts included."""
    seen = sum(len(text.encode("utf-8", "replace")) for text in taken.texts)
    tokens = sum(len(tokenizer.encode(text)) for text in taken.texts)
    return round(taken.bytes * tokens / max(1, seen)) + taken.parts * HEADER_TOKENS


def plan(
    config: Config,
    tokens: int,
    machine: Machine,
    steps: Steps,
    *,
    parts: int = 1,
    kept: Kept = "either",
    tokens_per_second: float | int | None = None,
) -> Plan:
    """What it costs to read and ask `tokens` tokens in so many parts, and whether it fits.

    `tokens_per_second`: as measured; else by FLOPs.
    """
    if tokens_per_second is not None and not 0 < tokens_per_second < math.inf:
        raise InputError(f"tokens per second must be above 0, not {tokens_per_second}")
    declared = decoder.declare(config)
    stored = round_up(tokens + (parts - 1) * BLOCK // 2)  # half a block of padding a part
    job = Job(config=config, tokens=stored, steps=steps, kinds=kinds(declared))
    choices = layouts(job.kinds, machine.chips)
    placed = place(job, machine, kept, choices)
    flops = read_flops(config, declared)
    seconds, basis = reading_time(job, machine, placed.way.mesh, flops), machine.basis
    if tokens_per_second:
        seconds, basis = stored / tokens_per_second, "the tokens a second that were given"
    reading, answering = job.needs(machine, placed.way)
    count = params.count(declared)
    return Plan(
        model=config.name,
        machine=machine,
        tokens=tokens,
        stored_tokens=stored,
        parameters=count,
        active_parameters=active(config, declared),
        weights_on_disk=FILE_BYTES * count,
        weights_loaded=machine.number_bytes * count,
        bytes_per_token=bytes_of(SEGMENT, job.shape) / SEGMENT,
        reading=job.reading,
        scanned=job.scanned,
        heads=job.heads,
        sums=job.sums,
        full_attention=job.full_attention,
        flops_per_token=flops,
        flops_per_answer_token=answer_flops(config, declared, stored),
        seconds=seconds,
        tokens_per_second=stored / seconds,
        basis=basis,
        mesh={axis: ways for axis, ways in placed.way.mesh.items() if ways > 1},
        while_reading=reading,
        while_answering=answering,
        fits=placed.fits,
        kept=placed.way.where,
        short=tuple(shortage(job, machine, placed)),
        mend=() if placed.fits else tuple(remedies(job, machine, kept, placed, choices)),
        notes=tuple(notes(job, machine, placed)),
    )


def notes(job: Job, machine: Machine, placed: Placed) -> Iterator[str]:
    """What the figures do not show."""
    config, where = job.config, placed.way.where
    if PRESETS.get(config.name) == config and config not in (SPARK, TINY):
        yield f"{config.name} is declared only: it was never trained"
    tokens = next(file for file in array_files(job.shape) if file.name == "tokens")
    room = 256**tokens.row_bytes
    if config.embeddings > room:
        yield f"{config.embeddings:,} token ids do not fit the {room:,} of the reading's format"
    if where == "disk" and placed.peak + job.scanned > machine.memory:
        yield f"the keys do not stay in RAM: a pass of an answer reads {size(job.scanned)} of disk"
    if where == "disk" and machine.disk is None:
        yield f"its disk is not known; the reading takes {size(job.reading)}"


def check_fits(
    config: Config, tokens: int, steps: Steps, path: Path | None = None, parts: int = 1
) -> Plan:
    """The plan for a reading at `path`, or in RAM; SpaceError when this machine has no room."""
    directory = Path(os.path.realpath(path)).parent if path else Path()
    kept: Kept = "disk" if path else "RAM"
    made = plan(config, tokens, this_machine(directory), steps, parts=parts, kept=kept)
    if not made.fits:
        raise SpaceError(made.line)
    return made


def as_dict(made: Plan) -> dict[str, Any]:
    """For JSON."""
    return {**asdict(made), "peak": made.peak, "verdict": made.verdict}


def rows(made: Plan) -> Iterator[tuple[str, str]]:
    """The plan as a table: what, and how much."""
    machine = made.machine
    many = f"{machine.chips:,} x " if machine.chips > 1 else ""
    disk = "" if machine.disk is None else f", {size(machine.disk)} of disk"
    room = f"{many}{size(machine.memory)} of {'RAM' if machine.is_cpu else 'HBM'}{disk}"
    yield machine.name, f"{room} ({machine.source})"
    yield "parameters", f"{made.parameters:,}; {made.active_parameters:,} at work on a token"
    yield "weights", f"{size(made.weights_on_disk)} on disk, {size(made.weights_loaded)} loaded"
    yield "memory", f"{size(made.reading)}: {made.bytes_per_token:g} bytes a token"
    yield "keys", f"{size(made.scanned)} of it, gone through in every pass of an answer"
    yield "sums", f"{size(made.sums)} while answering: a float32 a key and head, {made.heads} heads"
    if made.mesh:
        yield "mesh", ", ".join(f"{axis} {ways}" for axis, ways in made.mesh.items())
    for name, phase in (("reading", made.while_reading), ("answering", made.while_answering)):
        told = ", ".join(f"{what} {size(number)}" for what, number in phase.items())
        each = " a chip" if many else ""
        yield f"while {name}", f"{size(sum(phase.values()))}{each}: {told}"
    read, answered = made.flops_per_token, made.flops_per_answer_token
    yield "work", f"{size(read, 'FLOP')} a token read, {size(answered, 'FLOP')} a token answered"
    speed = f"{made.tokens_per_second:,.0f} tokens/s"
    yield "time to read", f"{duration(made.seconds)} at {speed}, by {made.basis}"
    ratio = made.full_attention / made.reading
    yield "full attention", f"{size(made.full_attention)} in the same shape: {ratio:,.1f} x memory"
    for note in made.notes:
        yield "note", note
    yield "fits", made.verdict
