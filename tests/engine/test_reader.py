# SPDX-License-Identifier: Apache-2.0
"""Reading in chunks: the same memory whatever the chunk, the place and the company."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pollux
from pollux import prompt
from pollux.config import BLOCK
from pollux.engine import reader
from pollux.memory.store import Writer
from pollux.model import decoder, read
from pollux.plan import report
from pollux.plan.machine import machine_of


def whole_memory(model, part):
    """Keys and values of one part by the plain forward pass, float32."""
    loaded = model.loaded
    ids = np.concatenate(
        [prompt.part_header(loaded.tokenizer, part.name), loaded.tokenizer.encode(part.text)]
    )
    ids = jnp.array(np.pad(ids, (0, -len(ids) % BLOCK)).astype(np.int32)[None])
    state = read.empty_state(loaded.config, 1)
    plain = jax.jit(decoder.read_chunk, static_argnums=1)  # eager, its checks take a minute
    got, _, _ = plain(loaded.weights, loaded.config, ids, jnp.zeros_like(ids), state)
    return np.asarray(ids[0]), np.asarray(got.key[0]), np.asarray(got.value[0])


def floats(reading, what):
    scales = getattr(reading, f"{what}_scales").astype(np.float32)
    return getattr(reading, f"{what}s").astype(np.float32) * scales[:, None], scales


def test_memory_is_the_plain_forward_pass_within_half_a_step(model, parts):
    reading = model.read(*parts)
    for part, span in zip(parts, reading.parts, strict=True):
        ids, key, value = whole_memory(model, part)
        size = span.end - span.start
        assert np.array_equal(reading.tokens[span.start : span.end], ids[:size])
        for what, expected in (("key", key), ("value", value)):
            got, scale = floats(reading, what)
            error = np.abs(got[span.start : span.end] - expected[:size]).max(-1)
            assert (error <= 0.5 * scale[span.start : span.end] + 1e-4).all()


@pytest.mark.parametrize("size", [64, 192, 1024])
def test_any_chunk_size_gives_the_same_memory(model, parts, monkeypatch, size):
    whole = model.read(*parts)
    monkeypatch.setattr(reader, "CHUNK", size)
    chunked = model.read(*parts)
    assert np.array_equal(whole.tokens, chunked.tokens)
    for what in ("keys", "values"):
        steps = np.abs(getattr(whole, what).astype(int) - getattr(chunked, what))
        assert steps.max() <= 1 and (steps > 0).mean() < 0.01  # rounding at the edge of a step


def test_pieces_tokenized_apart_are_the_tokens_of_the_whole(model, parts, monkeypatch):
    whole = model.read(*parts)
    monkeypatch.setattr(reader, "PIECE", 50)
    assert np.array_equal(model.read(*parts).tokens, whole.tokens)


def test_parts_do_not_see_each_other(model, parts):
    together, alone = model.read(*parts), model.read(parts[1])
    span = together.parts[1]
    size = span.end - span.start
    got = together.keys[span.start : span.end].astype(int)
    assert np.abs(got - alone.keys[:size]).max() <= 1


def test_saved_equals_fresh(model, parts, tmp_path):
    fresh = model.read(*parts)
    saved = model.read(*parts, save=tmp_path / "a.reading")
    again = model.open(tmp_path / "a.reading")
    for what in ("keys", "values", "key_scales", "value_scales", "tokens"):
        assert np.array_equal(getattr(fresh, what), getattr(saved, what))
        assert np.array_equal(getattr(fresh, what), getattr(again, what))
    assert fresh.parts == again.parts
    copied = fresh.save(tmp_path / "b.reading")
    assert np.array_equal(copied.keys, again.keys)


def test_progress_counts_every_token_and_character(model, parts):
    seen = []
    reading = model.read(*parts, report=lambda p: seen.append((p.tokens, p.characters)))
    assert seen[-1] == (reading.num_valid, sum(len(part.text) for part in parts))


def test_interrupted_reading_leaves_nothing(model, parts, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.read(*parts, save=tmp_path / "a.reading", report=stop)
    with pytest.raises(pollux.ReadingError, match=r"a\.reading"):
        model.open(tmp_path / "a.reading")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_what_has_no_room_is_refused_before_it_is_read(model, parts, tmp_path, monkeypatch):
    """On disk and in memory; what was there stays."""
    path = tmp_path / "a.reading"
    before = model.read(*parts, save=path).num_valid
    small = machine_of("cpu:2,0.5,0.001")
    monkeypatch.setattr(report, "this_machine", lambda directory: small)
    monkeypatch.setattr(reader, "LONG", 10)
    monkeypatch.setattr(reader, "runs_of", lambda *_: pytest.fail("it was read"))
    long = pollux.Part(name="long.txt", kind="text", text="What takes room is long. " * 40_000)
    for save in (path, None):
        with pytest.raises(pollux.SpaceError, match="short of"):
            model.read(long, save=save)
    assert model.open(path).num_valid == before


def test_nothing_to_read_is_refused(model):
    with pytest.raises(pollux.InputError, match="name a file"):
        model.read()


@pytest.fixture
def counted(monkeypatch):
    """How many tokens each step really read."""
    seen, memories = [], reader.memories

    def call(*given):
        for chunk, got in memories(*given):
            seen.append(sum(len(run.tokens) for run in chunk))
            yield chunk, got

    monkeypatch.setattr(reader, "memories", call)
    return seen


def nearly(left, right):
    """Equal but for rounding, where chunks were packed otherwise."""
    assert left.parts == right.parts
    assert np.array_equal(left.tokens, right.tokens)
    for what in ("keys", "values"):
        steps = np.abs(getattr(left, what).astype(int) - getattr(right, what))
        assert steps.max() <= 1 and (steps > 0).mean() < 1e-3
    return True


def test_updated_equals_read_anew(model, parts, tmp_path, counted):
    path = tmp_path / "a.reading"
    first, second, third = parts
    renamed = pollux.Part(name="new name.txt", kind="text", text=first.text)
    other = pollux.Part(name=second.name, kind="text", text=second.text + "salt.\n")
    noted = pollux.Part(name=third.name, kind="text", text=third.text, note="mended")
    extra = pollux.Part(name="extra.txt", kind="text", text="")
    model.read(*parts, save=path)
    for now, unchanged in (
        ([first, other, third], 2),
        ([first, other], 2),  # a part is gone
        ([first, other], 2),
        ([extra, other, first, third], 2),
        ([third, renamed, extra, first], 3),
        ([noted], 0),
        ([noted, noted, first], 2),
        ([first], 1),
    ):
        anew = model.read(*now)
        counted.clear()
        told = []
        updated = model.read(*now, save=path, update=True, report=told.append)
        assert nearly(updated, anew) and nearly(model.open(path), anew)
        assert told[-1].parts_kept == unchanged
        assert bool(counted) == (unchanged < len(now))
    assert [file.name for file in tmp_path.iterdir()] == ["a.reading"]


def test_update_without_a_reading_reads(model, parts, tmp_path):
    updated = model.read(*parts, save=tmp_path / "a.reading", update=True)
    assert nearly(updated, model.read(*parts))


def test_update_refuses_what_it_cannot_take_over(model, parts, tmp_path):
    path = tmp_path / "a.reading"
    model.read(parts[1], save=path)
    manifest = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(manifest.replace(model.loaded.fingerprint, "0" * 16))
    with pytest.raises(pollux.ReadingError, match=r"a\.reading/manifest\.json is damaged"):
        model.read(*parts, save=path, update=True)
    (path / "manifest.json").write_text(manifest)
    with Writer.extend(path), pytest.raises(pollux.ReadingError, match="by another process"):
        model.read(*parts, save=path, update=True)
    data = bytearray((path / "values.i8").read_bytes())
    data[70] ^= 1
    (path / "values.i8").write_bytes(data)
    with pytest.raises(pollux.ReadingError, match=r"values\.i8 is damaged"):
        model.read(*parts, save=path, update=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.reading"]
    assert nearly(model.read(*parts, save=path), model.read(*parts))
