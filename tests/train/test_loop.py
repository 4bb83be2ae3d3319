# SPDX-License-Identifier: Apache-2.0
"""What a run does around its steps, with a step that is quick and says what it was given.

That the real step goes on bit for bit is the subject of test_resume.py.
"""

import dataclasses
import errno
import os
import resource
import shutil
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pollux import checkpoint
from pollux.data import mixture
from pollux.errors import PolluxError, RecipeError, SpaceError, WeightsError
from pollux.tokenizer import Tokenizer
from pollux.train import loop, metrics, saves
from pollux.train.loss import Measures
from pollux.train.metrics import COLUMNS, Metrics
from pollux.train.recipe import RECIPES, override

STEPS = 5
SETTINGS = [
    f"stages.0.steps={STEPS}",
    "stages.0.rows=2",
    "stages.0.length=128",
    "stages.0.supervised=64",
    "config.read_layers=1",
    "config.answer_layers=1",
]


def quick(recipe):
    """A step whose loss tells of the weights and of the batch."""

    def advance(state, batch):
        changed = jax.tree.map(lambda x: x * 0.75, state.params)
        value = batch.tokens.astype(float).mean() / 1_000 + jnp.abs(changed.embedding).mean()
        some = jnp.float32(0.5)
        measured = Measures(*[value] * 3, *[some] * 8, load=jnp.full((4, 4), 0.25))
        return dataclasses.replace(state, params=changed, step=state.step + 1), measured, some

    return advance


@pytest.fixture(scope="module")
def kit(run_environment):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLLUX_CACHE", run_environment["POLLUX_CACHE"])
        return mixture.kit(Tokenizer.load(), ("code", "random"))


@pytest.fixture(autouse=True)
def quick_run(kit, monkeypatch):
    monkeypatch.setattr(loop, "compiled", quick)
    monkeypatch.setattr(mixture, "kit", lambda tokenizer, genres: kit)
    monkeypatch.setattr(metrics, "picture", lambda rows, path: path.write_text(str(len(rows))))


@pytest.fixture
def recipe():
    """Saves where it stops only."""
    return override(RECIPES["tiny"], SETTINGS)


@pytest.fixture
def saving():
    """Saves after every step."""
    return override(RECIPES["tiny"], [*SETTINGS, "checkpoint_seconds=0"])


@pytest.fixture(scope="module")
def unbroken(kit, tmp_path_factory):
    """A whole run, only to be looked at."""
    directory = tmp_path_factory.mktemp("unbroken") / "new" / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "compiled", quick)
        patch.setattr(mixture, "kit", lambda tokenizer, genres: kit)
        loop.train(override(RECIPES["tiny"], SETTINGS), directory)
    return directory


def rows(directory):
    """The metrics but for the speed."""
    return [row[:-1] for row in metrics.read(directory / "metrics.csv")]


def saved(directory):
    return sorted(int(path.name) for path in (directory / "checkpoints").glob("[0-9]*"))


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def one_line(caught):
    text = str(caught.value)
    assert text and "\n" not in text
    return text


def same_weights(left, right):
    trees = [jax.tree.leaves(checkpoint.load(d / "tiny.safetensors")[0]) for d in (left, right)]
    return all(np.array_equal(a, b) for a, b in zip(*trees, strict=True))


def test_what_a_run_leaves(unbroken):
    assert [row[0] for row in rows(unbroken)] == list(range(1, STEPS + 1))
    assert (unbroken / "metrics.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert (unbroken / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert f'"steps": {STEPS}' in (unbroken / "recipe.json").read_text()
    (events,) = (unbroken / "tensorboard").iterdir()
    assert events.read_bytes().count(b"tokens_per_s") == STEPS
    assert saved(unbroken) == [STEPS]
    assert not list(unbroken.rglob("*partial*"))
    _, config, _ = checkpoint.load(unbroken / "tiny.safetensors")
    assert config == override(RECIPES["tiny"], SETTINGS).config


def test_checkpoints_are_the_newest_two(saving, tmp_path, unbroken):
    assert loop.train(saving, tmp_path) == tmp_path / "tiny.safetensors"
    assert saved(tmp_path) == [STEPS - 1, STEPS]
    assert rows(tmp_path) == rows(unbroken)


def test_a_run_is_not_begun_over_another(recipe, tmp_path, unbroken):
    before = contents(unbroken)
    with pytest.raises(RecipeError, match=f"step {STEPS}.*--resume.*--out") as caught:
        loop.train(recipe, unbroken)
    one_line(caught)
    assert contents(unbroken) == before


def test_what_was_never_saved_is_begun_again(recipe, tmp_path, unbroken):
    (tmp_path / "metrics.csv").write_bytes((unbroken / "metrics.csv").read_bytes())
    loop.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


def test_resumed_equals_unbroken(recipe, tmp_path, unbroken):
    loop.train(recipe, tmp_path, stop_after=2)
    assert saved(tmp_path) == [2]
    loop.train(recipe, tmp_path, stop_after=3, resume=True)
    loop.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)
    assert same_weights(tmp_path, unbroken)


def test_resuming_what_is_done(recipe, tmp_path, unbroken):
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    loop.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken) and same_weights(tmp_path, unbroken)
    longer = override(recipe, [f"stages.0.steps={STEPS + 2}"])
    loop.train(longer, tmp_path, resume=True)
    assert [row[0] for row in rows(tmp_path)] == list(range(1, STEPS + 3))


def test_another_model_does_not_go_on(recipe, unbroken):
    before = contents(unbroken)
    with pytest.raises(RecipeError, match="other dimensions") as caught:
        loop.train(override(recipe, ["config.embed_dim=64"]), unbroken, resume=True)
    one_line(caught)
    assert contents(unbroken) == before


@pytest.mark.parametrize("content", ["", "{", '{"config": {"depth": 3}}', '{"config": 3}'])
def test_a_recipe_of_another_version_is_no_hindrance(recipe, tmp_path, unbroken, content):
    shutil.copytree(unbroken, tmp_path, dirs_exist_ok=True)
    (tmp_path / "recipe.json").write_text(content)
    loop.train(recipe, tmp_path, resume=True)


def test_begins_with_given_weights(recipe, tmp_path, unbroken):
    given = unbroken / "tiny.safetensors"
    state = loop.initial(recipe, given)
    assert int(state.step) == 0
    wanted = checkpoint.load(given)[0]
    pairs = zip(jax.tree.leaves(state.params), jax.tree.leaves(wanted), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    with pytest.raises(RecipeError, match="other dimensions") as caught:
        loop.train(override(recipe, ["config.read_layers=2"]), tmp_path, weights=given)
    one_line(caught)
    with pytest.raises(WeightsError):
        loop.train(recipe, tmp_path, weights=tmp_path / "none.safetensors")


@pytest.fixture
def spoiled(monkeypatch):
    """Step 3 measures what it should not, as the given function makes it."""

    def spoil(change):
        def advance(recipe):
            sound = quick(recipe)

            def step(state, batch):
                got = sound(state, batch)
                return change(got) if int(got[0].step) == 3 else got

            return step

        monkeypatch.setattr(loop, "compiled", advance)

    return spoil


def no_loss(got):
    return got[0], got[1]._replace(loss=jnp.float32(jnp.nan)), got[2]


def no_gradient(got):
    return got[0], got[1], jnp.float32(jnp.inf)


@pytest.mark.parametrize("change", [no_loss, no_gradient])
def test_what_is_not_finite_stops_with_its_provenance(
    saving, tmp_path, unbroken, spoiled, monkeypatch, change
):
    spoiled(change)
    with pytest.raises(RecipeError, match="not finite at step 3") as caught:
        loop.train(saving, tmp_path)
    text = one_line(caught)
    assert "seed 0, batch 2" in text and (".py" in text or ".txt" in text)
    assert "--resume --set learning_rate=" in text
    assert saved(tmp_path) == [1, 2] and len(rows(tmp_path)) == 2

    monkeypatch.setattr(loop, "compiled", quick)
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


class Limit:
    """No file grows beyond `size` bytes: as where the disk is full."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_no_room_for_a_checkpoint(saving, tmp_path, unbroken, capfd):
    loop.train(saving, tmp_path, stop_after=2)
    with Limit(500_000), pytest.raises(SpaceError, match="checkpoint.*--resume") as caught:
        loop.train(saving, tmp_path, resume=True)
    assert os.strerror(errno.EFBIG) in one_line(caught)
    assert saved(tmp_path) == [1, 2]
    assert not list((tmp_path / "checkpoints").glob("*.*"))
    assert not capfd.readouterr().err
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError("RESOURCE_EXHAUSTED: No space left on device\n[source locations=...]\n..."),
    ],
)
def test_the_room_goes_while_it_saves(saving, tmp_path, unbroken, monkeypatch, error):
    loop.train(saving, tmp_path, stop_after=2)

    def save(manager, number, **_):
        half = manager.directory / f"{number}.orbax-checkpoint-tmp" / "default"
        half.mkdir(parents=True)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(saves.orbax.CheckpointManager, "save", save)
        with pytest.raises(SpaceError, match="No space left.*--resume") as caught:
            loop.train(saving, tmp_path, resume=True)
    one_line(caught)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1", "2"]
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


def test_no_room_for_metrics(recipe, tmp_path, unbroken):
    """It neither hangs nor hides why it stopped."""
    loop.train(recipe, tmp_path, stop_after=2)
    size = (tmp_path / "metrics.csv").stat().st_size
    with Limit(size + 150), pytest.raises(SpaceError, match="cannot write in.*--resume") as caught:
        loop.train(recipe, tmp_path, resume=True)
    one_line(caught)
    loop.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


def test_a_place_that_cannot_be(recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PolluxError, match="file") as caught:
        loop.train(recipe, tmp_path / "file" / "run")
    one_line(caught)


def at_row(number, act, monkeypatch):
    """Calls `act` as the metrics of step `number` are written."""
    add = Metrics.add

    def acting(self, row, *rest):
        add(self, row, *rest)
        if row == number:
            act()

    monkeypatch.setattr(Metrics, "add", acting)


@pytest.fixture
def terminal():
    """Ctrl-C as in a terminal: a shell starts what is in its background with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_before_it_leaves(recipe, tmp_path, unbroken, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        at_row(3, ctrl_c, patch)
        with pytest.raises(KeyboardInterrupt, match="step 3.*--resume"):
            loop.train(recipe, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert saved(tmp_path) == [3] and len(rows(tmp_path)) == 3
    assert (tmp_path / "loss.png").is_file()
    loop.train(recipe, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


def test_ctrl_c_at_the_last_step(recipe, tmp_path, monkeypatch):
    at_row(STEPS, ctrl_c, monkeypatch)
    assert loop.train(recipe, tmp_path).is_file()


@pytest.mark.usefixtures("terminal")
def test_the_second_ctrl_c_acts_at_once(saving, tmp_path, unbroken, monkeypatch):
    save = saves.Saves.save

    def stuck(self, number, state):
        if number == 3:
            ctrl_c()
        save(self, number, state)

    with monkeypatch.context() as patch:
        at_row(3, ctrl_c, patch)
        patch.setattr(saves.Saves, "save", stuck)
        with pytest.raises(KeyboardInterrupt):
            loop.train(saving, tmp_path)
    assert saved(tmp_path) == [1, 2]
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)


def test_runs_in_a_thread(recipe, tmp_path, unbroken):
    """Where no signal can be waited for."""
    thread = threading.Thread(target=loop.train, args=(recipe, tmp_path))
    thread.start()
    thread.join()
    assert rows(tmp_path) == rows(unbroken)


def largest(path):
    return max((file for file in path.rglob("*") if file.is_file()), key=lambda f: f.stat().st_size)


def truncate(path):
    os.truncate(largest(path), largest(path).stat().st_size // 2)


def flip(path):
    content = bytearray(largest(path).read_bytes())
    content[len(content) // 2] ^= 1
    largest(path).write_bytes(content)


def lose(path):
    largest(path).unlink()


def empty(path):
    shutil.rmtree(path)
    path.mkdir()


def forget(path):
    """Not even the checksums are whole."""
    (path / saves.CHECKSUMS).write_text('{"default')


DAMAGES = [truncate, flip, lose, empty, forget]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    saving, tmp_path, unbroken, capsys, damage
):
    loop.train(saving, tmp_path, stop_after=4)
    damage(tmp_path / "checkpoints" / "4")
    capsys.readouterr()
    loop.train(saving, tmp_path, resume=True)
    told = capsys.readouterr().out
    assert "step 4 cannot be read" in told and "on from step 3" in told
    assert (tmp_path / "unreadable-4").is_dir()
    assert rows(tmp_path) == rows(unbroken)
    assert same_weights(tmp_path, unbroken)
    assert saved(tmp_path) == [STEPS - 1, STEPS]


def test_no_checkpoint_is_whole(saving, tmp_path):
    loop.train(saving, tmp_path, stop_after=2)
    truncate(tmp_path / "checkpoints" / "1")
    flip(tmp_path / "checkpoints" / "2")
    before = contents(tmp_path)
    with pytest.raises(
        RecipeError, match="step 2: its checksums differ; step 1: .*--out"
    ) as caught:
        loop.train(saving, tmp_path, resume=True)
    one_line(caught)
    assert contents(tmp_path) == before


def test_killed_before_the_checksums(saving, tmp_path, unbroken):
    loop.train(saving, tmp_path, stop_after=2)
    (tmp_path / "checkpoints" / "2" / saves.CHECKSUMS).unlink()
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)
    assert not list(tmp_path.glob("unreadable-*"))
    assert saved(tmp_path) == [STEPS - 1, STEPS]
    assert len(os.listdir(tmp_path / "checkpoints")) == 2


def test_resumes_behind_a_torn_line(saving, tmp_path, unbroken):
    loop.train(saving, tmp_path, stop_after=3)
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("4,0.12")
    loop.train(saving, tmp_path, resume=True)
    assert rows(tmp_path) == rows(unbroken)
    text = (tmp_path / "metrics.csv").read_text()
    assert text.count("\n") == STEPS + 1 and "4,0.12\n" not in text


def test_later_rows_are_dropped(recipe, tmp_path, unbroken):
    """Those of steps that were made after the checkpoint and are made again."""
    loop.train(recipe, tmp_path, stop_after=2)
    shutil.copy(unbroken / "metrics.csv", tmp_path / "metrics.csv")
    loop.train(recipe, tmp_path, resume=True, stop_after=3)
    assert rows(tmp_path) == rows(unbroken)[:3]


def test_plain_lines_where_there_is_no_terminal(recipe, tmp_path, capsys):
    loop.train(recipe, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"1/{STEPS}", f"{STEPS}/{STEPS}"]
    assert all(line.startswith("training tiny  ") and "tok/s" in line for line in lines)


def test_a_bar_on_a_terminal(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(metrics.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    loop.train(recipe, tmp_path)
    last = capsys.readouterr().out.split("\x1b[2K")[-1]
    assert "━" in last and f"{STEPS}/{STEPS}" in last and "tok/s" in last and "…" not in last
