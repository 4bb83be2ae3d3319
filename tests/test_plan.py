# SPDX-License-Identifier: Apache-2.0
"""Plans agree with what is really written and held, and say in one line what does not fit."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pollux
from pollux import checkpoint, params, sharding
from pollux.config import BLOCK, NANO_1, SPARK, TINY, Experts, dense_twin
from pollux.engine import reader, scan
from pollux.errors import InputError, PolluxError, SpaceError, WeightsError
from pollux.memory.manifest import FILES, array_files
from pollux.memory.store import Writer
from pollux.model import decoder, read
from pollux.plan import cost, place, report
from pollux.plan.machine import GB, duration, machine_of, size, this_machine

STEPS = cost.Steps(chunk=reader.CHUNK, at_once=scan.AT_ONCE)
TEXT = "The stone lay by the river, and number 7415 was on it.\n第一章 开始。\n" * 500


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    declared = decoder.declare(TINY)
    zeros = jax.tree.map(lambda p: np.zeros(p.shape), declared, is_leaf=params.is_param)
    checkpoint.save(path, zeros, TINY, {})
    return path


@pytest.fixture(scope="module")
def model(weights):
    return pollux.load(weights)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def reading(model, text):
    """Written as reading it would be, of zeros: only sizes matter here."""
    loaded, path = model.loaded, text.with_suffix(".reading")
    part = pollux.Part(name=text.name, kind="text", text=TEXT)
    with Writer.create(path, loaded.shape, loaded.fingerprint, "") as writer:
        writer.begin_part(part.name, part.kind)
        for run in reader.part_tokens(loaded.tokenizer, 0, part):
            size = len(run.tokens)
            files = array_files(loaded.shape)[:-1]
            rows = [np.zeros((size, *file.row_shape), file.dtype) for file in files]
            writer.append(*rows, run.tokens.astype(np.uint16), valid=run.valid)
        writer.end_part(1, "")
        return writer.finish()


def planned(config=SPARK, tokens=10_000_000, machine="cpu:2,24,100", **more):
    return report.plan(config, tokens, machine_of(machine), STEPS, **more)


def test_bytes_are_those_written(reading):
    made = planned(TINY, reading.num_valid)
    assert made.stored_tokens == len(reading)
    assert made.reading == sum((reading.path / name).stat().st_size for name in FILES)
    assert made.reading == made.bytes_per_token * len(reading)
    assert made.scanned == reading.keys.nbytes + reading.key_scales.nbytes


def test_weights_are_those_saved_and_loaded(model, weights):
    made = planned(TINY)
    loaded = jax.tree.leaves(model.loaded.weights)
    assert made.parameters == sum(x.size for x in loaded)
    assert made.weights_loaded == sum(x.nbytes for x in loaded)
    assert 0 < weights.stat().st_size - made.weights_on_disk < 20_000  # names and architecture


def test_sums_are_those_kept(model, reading):
    stretches = scan.stretches(reading)
    stored = sum(len(stretch.keys) for stretch in stretches)  # padded to a power of two
    made = planned(TINY, stored)
    assert made.sums == sum(total.nbytes for total in scan.Scan(model.loaded, stretches).totals)
    places = [x for s in stretches for x in (s.positions, s.valid, s.since)]
    assert made.while_answering["places"] == sum(x.nbytes for x in places)


@pytest.mark.parametrize("config", [TINY, SPARK, NANO_1], ids=lambda c: c.name)
def test_parameters(config):
    declared, e = decoder.declare(config), config.experts
    idle = (e.num_experts - e.top_k) * 3 * config.embed_dim * e.expert_dim
    made = planned(config)
    assert made.parameters == params.count(declared)
    layers = config.read_layers + config.answer_layers
    assert made.active_parameters == made.parameters - layers * idle


def test_dense_twin_uses_all_parameters():
    made = planned(dense_twin(SPARK))
    assert made.active_parameters == made.parameters


def test_flops_are_near_those_of_the_compiler():
    """XLA also counts norms, softmax and routing."""
    declared = decoder.declare(SPARK)
    state = jax.eval_shape(lambda: read.empty_state(SPARK, 1))
    tokens = jax.ShapeDtypeStruct((1, reader.CHUNK), jnp.int32)

    def chunk(p, tokens, segment, state):
        got, _, _ = decoder.read_chunk(p, SPARK, tokens, segment, state)
        return got.key, got.value

    lowered = jax.jit(chunk).lower(params.abstract(declared), tokens, tokens, state)
    counted = lowered.cost_analysis()["flops"] / reader.CHUNK
    assert 0.6 * counted < cost.read_flops(SPARK, declared) < counted


@pytest.mark.parametrize(
    "mesh",
    [{}, {"expert": 4, "tensor": 2}, {"fsdp": 8, "seq": 4}, {"data": 2, "tensor": 8, "fsdp": 2}],
)
def test_a_chip_holds_what_sharding_gives_it(mesh):
    declared = decoder.declare(replace(NANO_1, read_layers=2, answer_layers=1))
    sizes = tuple(mesh.get(axis, 1) for axis in sharding.MESH_AXES)
    placed = sharding.shardings(declared, jax.sharding.AbstractMesh(sizes, sharding.MESH_AXES))
    leaves = jax.tree.leaves(declared, is_leaf=params.is_param)
    shards = [
        where.shard_shape(leaf.shape)
        for leaf, where in zip(leaves, jax.tree.leaves(placed), strict=True)
    ]
    assert place.parameters_a_chip(cost.kinds(declared), mesh) == sum(map(math.prod, shards))


def test_meshes_use_every_chip_and_divide():
    kinds = cost.kinds(decoder.declare(SPARK))
    for mesh, parameters in place.layouts(kinds, 24):
        assert math.prod(mesh.values()) == 24
        assert parameters
        assert mesh["expert"] in (1, 2, 4, 8)  # of 8 experts
    assert not place.parameters_a_chip(kinds, {"expert": 3})


def test_more_tokens_cost_more():
    plans = [planned(tokens=n) for n in (1, 63, 64, 65, 10**4, 10**6, 10**8, 10**10)]
    for name in ("reading", "sums", "seconds", "full_attention", "peak", "flops_per_answer_token"):
        costs = [getattr(made, name) for made in plans]
        assert costs == sorted(costs), name
    assert plans[0].reading == plans[2].reading == 64 * 134  # a block at least
    assert len({made.flops_per_token for made in plans}) == 1
    assert [made.fits for made in plans] == [True] * 7 + [False]


def test_more_chips_read_faster_and_hold_less():
    plans = [planned(NANO_1, machine=f"v5e-{n}") for n in (1, 4, 16, 64)]
    assert [made.mesh.get("seq", 1) for made in plans] == [1, 4, 16, 64]
    seconds, peaks = [made.seconds for made in plans], [made.peak for made in plans]
    assert seconds == sorted(seconds, reverse=True)
    assert peaks == sorted(peaks, reverse=True)
    assert plans[0].seconds / plans[3].seconds < 64  # a share is read with what reaches into it


def test_where_a_reading_is_kept():
    assert planned(machine="cpu:2,24,80").kept == "disk"
    assert planned(machine="cpu:2,24").fits  # its disk is not known, and that is said
    assert any("disk is not known" in note for note in planned(machine="cpu:2,24").notes)
    small = planned(machine="cpu:2,24,1")
    assert small.fits and small.kept == "RAM" and small.while_answering["memory"] == small.reading
    assert "memory" not in planned(machine="cpu:2,24,80").while_answering
    slow = planned(machine="cpu:2,1.5,80")
    assert slow.fits and any("do not stay in RAM" in note for note in slow.notes)


@pytest.mark.parametrize(
    ("machine", "kept", "short", "mend"),
    [
        ("cpu:2,24,1", "disk", "disk (1 GB free, 1.34 GB needed)", "free 340 MB of disk"),
        ("cpu:2,1.5,80", "RAM", "RAM (1.5 GB free", "save the reading (1.34 GB of disk)"),
        ("cpu:2,0.7,80", "either", "sums 320 MB", "take a machine with 948 MB of free RAM"),
        ("cpu:2,0.2,1", "either", "and disk (1 GB free", "of free RAM and 1.34 GB of disk"),
    ],
)
def test_what_is_short_and_what_helps(machine, kept, short, mend):
    made = planned(machine=machine, kept=kept)
    assert not made.fits
    assert short in " and ".join(made.short)
    assert any(mend in one for one in made.mend)
    assert "\n" not in made.line and made.verdict.startswith("no, short of ")


def test_the_length_advised_fits_and_twice_does_not():
    machine = machine_of("cpu:2,1,80")
    made = report.plan(SPARK, 10**9, machine, STEPS)
    most = int(made.mend[0].removeprefix("read at most ").removesuffix(" tokens").replace(",", ""))
    assert report.plan(SPARK, most, machine, STEPS).fits
    assert not report.plan(SPARK, 2 * most, machine, STEPS).fits


def test_the_larger_slice_advised_fits():
    made = planned(NANO_1, 10**9, "v5e-2")
    assert not made.fits and made.short[0].startswith("HBM a chip")
    advised = next(one for one in made.mend if one.startswith("take v5e-"))
    assert planned(NANO_1, 10**9, advised.split()[1]).fits


def test_limits_of_large_presets_are_said():
    notes = planned(NANO_1).notes
    assert any("never trained" in note for note in notes)
    assert any("do not fit the 65,536" in note for note in notes)
    assert not planned(SPARK).notes


def test_weights_of_several_chips_are_divided():
    experts = Experts(num_experts=64, top_k=2, expert_dim=100_352, shared_dim=3_328)
    made = planned(replace(NANO_1, experts=experts), machine="v5e-256")
    assert made.fits and math.prod(made.mesh.values()) == 256
    assert made.while_reading["weights"] < made.weights_loaded / 16
    assert made.while_answering["sums"] < 2 * made.sums / made.mesh["seq"] + 4 * BLOCK * made.heads


def test_measured_speed_decides_the_time():
    made = planned(tokens=64_000, tokens_per_second=1_000)
    assert made.seconds == 64 and "given" in made.basis
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="tokens per second must be above 0"):
            planned(tokens_per_second=wrong)


@pytest.mark.parametrize(
    ("said", "tokens"),
    [("10M", 10**7), ("128k", 128_000), ("1.5B", 15 * 10**8), ("10,000", 10_000), ("1_0", 10)],
)
def test_lengths(said, tokens):
    assert report.tokens_of(said) == tokens


@pytest.mark.parametrize("said", ["", "0", "-5", "ten", "10Q", "1e6", "0.1", "9999T", "1" * 99])
def test_no_lengths(said):
    with pytest.raises(InputError, match="is no number of tokens") as raised:
        report.tokens_of(said)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["", "that", "cpu", "cpu:0,4", "cpu:2", "cpu:2,0", "cpu:2,x", "v5e", "v5e-0", "v5e-512"]
    + ["v5p-3", "v9-8", "v5e--1", "cpu:99999,4"],
)
def test_no_machines(name):
    with pytest.raises(InputError) as raised:
        machine_of(name)
    assert repr(name) in str(raised.value) and "\n" not in str(raised.value)


def test_names_count_as_their_maker_does():
    assert machine_of("v5p-1024").chips == 512  # two cores a chip
    assert machine_of("v5e-256").chips == 256


def test_this_machine():
    here = this_machine(Path("/no/such/directory"))
    assert here.is_cpu and here.memory > 0 and here.disk is not None


def test_words():
    assert [size(n) for n in (999, 1340, 1_340_000_000)] == ["999 B", "1.34 kB", "1.34 GB"]
    seconds = (0.4, 59, 340, 12_000, 10**6)
    told = ["0.4 s", "59 s", "5 min 40 s", "3 h 20 min", "12 days"]
    assert [duration(n) for n in seconds] == told


def test_check_fits(monkeypatch, tmp_path):
    machine = machine_of("cpu:2,24,1")
    monkeypatch.setattr(report, "this_machine", lambda directory: machine)
    assert report.check_fits(SPARK, 1_000_000, STEPS, tmp_path / "a.reading").kept == "disk"
    assert report.check_fits(SPARK, 10_000_000, STEPS).kept == "RAM"
    with pytest.raises(SpaceError) as raised:
        report.check_fits(SPARK, 10_000_000, STEPS, tmp_path / "a.reading")
    assert "10,000,000 tokens with spark are 1.34 GB" in str(raised.value)
    assert "free 340 MB of disk" in str(raised.value) and "\n" not in str(raised.value)


def test_files_are_estimated(text, reading):
    config, tokens, parts = report.asked([str(text)], None)
    assert config == SPARK and parts == 1
    assert abs(tokens / reading.num_valid - 1) < 0.02


def test_weights_are_not_loaded(weights, monkeypatch):
    monkeypatch.setattr(checkpoint, "load", lambda path: pytest.fail("loaded"))
    assert report.asked([str(weights)], "1k") == (TINY, 1_000, 1)


def test_broken_weights(tmp_path):
    path = tmp_path / "bad.safetensors"
    for content in (None, b"", b"\xff" * 100, np.zeros(9).tobytes()):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError) as raised:
            report.config_of(str(path))
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.fixture
def run(command):
    return partial(command, "plan")


def test_command_gives_json(run):
    code, out, _ = run("tiny", "--tokens", "1M", "--machine", "cpu:4,16", "--json")
    made = json.loads(out)
    assert code == 0 and made["fits"] and made["model"] == "tiny" and made["tokens"] == 1_000_000
    assert made["reading"] == planned(TINY, 1_000_000).reading
    assert made["verdict"] == "yes, kept on disk" and made["machine"]["memory"] == 16 * GB


def test_command_gives_a_table(run, text):
    code, out, _ = run(text, "--machine", "v5p-8")
    assert code == 0 and "134 bytes a token" in out and "seq 4" in out and "yes" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sparc"], "'sparc' is neither a model"),
        (["--tokens", "many"], "'many' is no number of tokens"),
        (["--machine", "abacus"], "there is no machine 'abacus'"),
        (["spark", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--machine", "v5e-8", "--measure"], "only this machine can be measured"),
    ],
)
def test_command_fails_in_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 1 and not out
    assert err.startswith("pollux: ") and message in err and err.count("\n") == 1


def test_files_and_tokens_together_are_refused(text):
    with pytest.raises(PolluxError, match="not both"):
        report.asked([str(text)], "1k")
