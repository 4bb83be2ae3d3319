# SPDX-License-Identifier: Apache-2.0
"""Spoken prompts, sentences and words with their transcripts, from public recordings.

Each set names its public source; a local copy is taken from the directory in the environment
variable POLLUX_DATA, decoded once and kept in the cache. Sets made for evaluation are given to
those who say that they evaluate, and to no one else. Voices of programs: `voices.py`.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from pollux.cache import cache_directory
from pollux.data import held_out
from pollux.data.corpora import data_directory, refuse_held_out
from pollux.errors import RecipeError
from pollux.media.mel import RATE, SECOND, TOKEN_FRAMES, mel_blocks
from pollux.media.piece import Sound

Samples = Float32[np.ndarray, "_"]
QUIET = 0.03  # of a clip's loudest 20 ms: less, at its ends, is taken to be silence
LONGEST = 12.0  # seconds of a clip


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """`file` lies under POLLUX_DATA; `prompts`: split by prompt, not by file."""

    name: str
    file: str
    source: str
    licence: str
    language: str
    prompts: bool = False


def _set(name: str, source: str, licence: str, language: str = "en", prompts: bool = False):
    return Recordings(
        name=name,
        file=f"speech/{name}.tar",
        source=source,
        licence=licence,
        language=language,
        prompts=prompts,
    )


_KATHLEEN = "github.com/rhasspy/dataset-voice-kathleen", "CC0-1.0"
_KERSTIN = "github.com/rhasspy/dataset-voice-kerstin", "CC0-1.0", "de"
_DIGITS = "github.com/Jakobovski/free-spoken-digit-dataset", "CC-BY-SA-4.0"
_ASTERISK = "Debian asterisk-core-sounds-{0}-wav, asterisk-core-sounds-{0}"
RECORDINGS = {
    one.name: one
    for one in (
        _set("kathleen-train", *_KATHLEEN),
        _set("kathleen-dev", *_KATHLEEN),
        _set("kerstin-de-train", *_KERSTIN),
        _set("kerstin-de-dev", *_KERSTIN),
        _set("fsdd-train", *_DIGITS),
        _set("fsdd-test", *_DIGITS),
        *(
            _set(f"asterisk-{lang}", _ASTERISK.format(lang), licence, lang, prompts=True)
            for lang, licence in (
                ("en", "CC-BY-SA-3.0"),
                ("es", "CC-BY-SA-3.0"),
                ("fr", "CC-BY-SA-3.0"),
                ("it", "CC-BY-3.0"),
                ("ru", "CC-BY-3.0"),
            )
        ),
    )
}
ENGLISH = ("kathleen-train", "asterisk-en", "fsdd-train")  # what training takes
UNSEEN = ("kathleen-dev", "asterisk-en", "fsdd-test")  # of prompts, those held out
DIGITS = "zero one two three four five six seven eight nine".split()


@dataclass(frozen=True, eq=False)
class Clip:
    """`text` as `plain` has it. `samples`: 16 kHz, 16 bits. `fact`: see scene.Event."""

    text: str
    voice: str
    samples: np.ndarray
    fact: str = ""
    value: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def plain(text: str) -> str:
    """As it is heard: small letters, digits as words, no punctuation but apostrophes in words."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())
    said = (DIGITS[int(word)] if re.fullmatch("[0-9]", word) else word for word in words)
    return " ".join(said).replace("’", "'")


def clips(name: str, evaluation: bool = False) -> list[Clip]:
    """A set's clips, in its order; of those split by prompt the part for training, or the other.

    Raises RecipeError where it is missing, damaged, or held out and `evaluation` is not said.
    """
    one = RECORDINGS[name]
    if not evaluation:
        refuse_held_out(one.file)
    samples, rows = _decoded(one)
    found = []
    for row in rows:
        if one.prompts and held_out.prompt(row["prompt"]) != evaluation:
            continue
        text = plain(row["text"])
        if text and row["to"] - row["from"] <= LONGEST * RATE:
            speaker = row.get("speaker", name.split("-")[0])
            found.append(Clip(text, f"{name}:{speaker}", samples[row["from"] : row["to"]]))
    return found


def _decoded(one: Recordings) -> tuple[np.ndarray, list[dict]]:
    """All samples of a set, memory mapped, and its rows with where each is among them."""
    path = cache_directory() / "speech" / f"{one.name}.npy"
    index = path.with_suffix(".jsonl")
    if not (path.is_file() and index.is_file()):
        directory = data_directory()
        if directory is None or not (tar := directory / one.file).is_file():
            raise RecipeError(
                f"{one.file} is not here: get it from {one.source} ({one.licence}) "
                "and set POLLUX_DATA to its directory"
            )
        try:
            keep(path, _unpacked(tar))
        except (tarfile.TarError, OSError, EOFError, ValueError, KeyError) as error:
            raise RecipeError(f"cannot read {tar} ({error}): get it again") from None
    return stored(path)


def _unpacked(path: Path) -> Iterator[tuple[dict, np.ndarray]]:
    rows = {}
    with path.with_suffix(".jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            rows[row["id"]] = row
    with tarfile.open(path) as tar:
        for member in tar:
            name, _, kind = member.name.rpartition(".")
            file = tar.extractfile(member)
            if kind == "opus" and file is not None:
                yield rows[name], decoded(file.read())


def decoded(content: bytes) -> np.ndarray:
    """Any recording as 16 kHz mono, int16."""
    import av
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler("s16", "mono", RATE)
    with av.open(io.BytesIO(content), "r") as container:
        frames = [*container.decode(audio=0), None]
        runs = [run.to_ndarray()[0] for frame in frames for run in resampler.resample(frame)]
    return np.concatenate(runs) if runs else np.zeros(0, np.int16)


def keep(path: Path, found: Iterator[tuple[dict, np.ndarray]]) -> None:
    """Samples as one array, rows beside it; what is there is whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, runs, total = [], [], 0
    for row, samples in found:
        rows.append(row | {"from": total, "to": total + len(samples)})
        runs.append(samples)
        total += len(samples)
    beside = path.with_suffix(f".{os.getpid()}.partial")
    with beside.open("wb") as file:
        np.save(file, np.concatenate(runs) if runs else np.zeros(0, np.int16))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    beside.replace(path)
    beside.write_text(lines, "utf-8")
    beside.replace(path.with_suffix(".jsonl"))


def stored(path: Path) -> tuple[np.ndarray, list[dict]]:
    """What `keep` wrote. RecipeError if it is damaged."""
    try:
        lines = path.with_suffix(".jsonl").read_text("utf-8").splitlines()
        return np.load(path, mmap_mode="r"), [json.loads(line) for line in lines]
    except (OSError, EOFError, ValueError) as error:
        raise RecipeError(f"{path} is damaged ({error}): delete it") from None


def words_at(clip: Clip) -> np.ndarray:
    """Seconds [from, to] of each character, float [characters, 2]: evenly from sound to silence.

    What is between words is not known: within a word or two it is right.
    """
    begin, end = sounding(clip.samples)
    ends = begin + (end - begin) * np.arange(len(clip.text) + 1) / max(1, len(clip.text))
    return np.stack([ends[:-1], ends[1:]], 1)


def sounding(samples: np.ndarray) -> tuple[float, float]:
    """From when to when something is heard, in seconds."""
    step = RATE // 50
    if len(samples) < step:
        return 0.0, len(samples) / RATE
    loud = np.abs(samples[: len(samples) // step * step].astype(np.float32)).reshape(-1, step)
    level = loud.mean(1)
    found = np.flatnonzero(level > QUIET * level.max())
    if not len(found):
        return 0.0, len(samples) / RATE
    return int(found[0]) / 50, (int(found[-1]) + 1) / 50


def trimmed(clip: Clip) -> Clip:
    """Without the silence at its ends."""
    begin, end = (round(second * RATE) for second in sounding(clip.samples))
    return Clip(clip.text, clip.voice, clip.samples[begin:end], clip.fact, clip.value)


def varied(rng: np.random.Generator, clip: Clip) -> tuple[Samples, np.ndarray]:
    """Faster or slower, louder or softer; its samples and the seconds of its characters."""
    speed = float(np.clip(rng.normal(1, 0.06), 0.85, 1.15))
    raw = clip.samples.astype(np.float32) / 32768
    if speed != 1 and len(raw) > 1:
        at = np.arange(0, len(raw) - 1, speed, dtype=np.float64)
        raw = np.interp(at, np.arange(len(raw)), raw).astype(np.float32)
    loudest = max(1e-3, float(np.abs(raw).max()))
    level = 10 ** (rng.uniform(-22, -1) / 20)  # of the loudest sample
    return raw * np.float32(level / loudest), words_at(clip) / speed


def noisy(rng: np.random.Generator, samples: Samples, chance: float = 0.6) -> Samples:
    """With white or brownish noise of 8 to 40 dB below the speech, as often as `chance`."""
    if rng.random() > chance or not len(samples):
        return samples
    noise = rng.standard_normal(len(samples)).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.full(12, 1 / 12**0.5, np.float32), "same")
    level = float(np.sqrt(np.mean(samples**2))) + 1e-5
    return np.clip(samples + noise * level * 10 ** (-rng.uniform(8, 40) / 20), -1, 1)


def seconds_of_sound(samples: Samples) -> list[Sound]:
    """Pieces of a second, as `media.audio` gives them."""
    found, at = [], 0
    for mel in mel_blocks([samples]):
        found.append(Sound(mel=mel, seconds=at / SECOND))
        at += len(mel)
    return found


def silence(seconds: int | float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def spliced(runs: Sequence[Samples]) -> Samples:
    """One after another, up to a whole token."""
    whole = np.concatenate([*runs, np.zeros(0, np.float32)])
    step = RATE // SECOND * TOKEN_FRAMES
    return np.pad(whole, (0, -len(whole) % step))
