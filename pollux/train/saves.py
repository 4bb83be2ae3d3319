# SPDX-License-Identifier: Apache-2.0
"""The state of a training run on disk: Orbax checkpoints, the newest two, with checksums.

Orbax writes beside and renames, so a run killed while saving has its earlier checkpoint whole. What
it does not notice is a bit that flipped; what it tells in thousands of lines is a full disk or a
torn file. So room is made sure of before it writes, and checksums are compared before it reads.
"""

import json
import os
import shutil
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as orbax

from pollux import params
from pollux.errors import RecipeError, SpaceError
from pollux.train import step as stepping
from pollux.train.recipe import Run

CHECKSUMS = "crc32.json"
KEPT = 2


class Saves:
    """The checkpoints of the run in `directory`; `notes`: what a person should hear of them."""

    def __init__(self, directory: Path):
        self.run = directory
        self.directory = (directory / "checkpoints").absolute()
        self.notes: list[str] = []

    def __enter__(self) -> "Saves":
        return self

    def __exit__(self, *_) -> None:
        if "manager" in vars(self):
            self.manager.close()

    @cached_property
    def manager(self) -> orbax.CheckpointManager:
        """Made for the first save: a damaged checkpoint would confuse it."""
        self._drop_unfinished()
        options = orbax.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        return orbax.CheckpointManager(self.directory, options=options)

    @property
    def steps(self) -> list[int]:
        """Of the checkpoints there are, newest first."""
        names = [path.name for path in self.directory.glob("[0-9]*")]
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    @property
    def newest(self) -> int | None:
        """Its step."""
        return next(iter(self.steps), None)

    def save(self, number: int, state: stepping.State) -> None:
        """Raises SpaceError; the checkpoints before stay as they are."""
        try:
            self._make_sure_of_room(sum(leaf.nbytes for leaf in jax.tree.leaves(state)))
            self.manager.save(number, args=orbax.args.StandardSave(state))
            beside = self.directory / str(number) / (CHECKSUMS + ".partial")
            beside.write_text(json.dumps(checksums(beside.parent)))
            os.replace(beside, beside.with_name(CHECKSUMS))
        except (OSError, ValueError) as error:
            self._drop_unfinished()
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise SpaceError(
                f"cannot write a checkpoint in {self.run} ({reason}); "
                "free space and go on with --resume"
            ) from None

    def restore(self, wanted: stepping.State) -> stepping.State:
        """From the newest checkpoint that is whole. Raises RecipeError if none is.

        `wanted`: its shapes (`abstract`). Newer ones are put aside, because Orbax saves nothing
        older than what it has.
        """
        broken: dict[int, str] = {}
        for number in self.steps:
            path = self.directory / str(number)
            if not whole(path):
                broken[number] = "its checksums differ"
                continue
            try:
                with orbax.StandardCheckpointer() as reader:
                    state = reader.restore(path / "default", wanted)
            except Exception as error:  # whatever a foreign file makes Orbax raise
                broken[number] = (str(error) or type(error).__name__).splitlines()[0]
                continue
            for other in broken:
                self._put_aside(other, number)
            return state
        told = "; ".join(f"step {number}: {reason}" for number, reason in broken.items())
        raise RecipeError(
            f"no checkpoint in {self.run} can be read ({told}): begin again with another --out"
        )

    def _put_aside(self, number: int, used: int) -> None:
        aside = self.run / f"unreadable-{number}"
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(self.directory / str(number), aside)
        self.notes.append(
            f"the checkpoint at step {number} cannot be read (now {aside}): on from step {used}"
        )

    def _make_sure_of_room(self, size: int) -> None:
        """Raises OSError unless `size` bytes and a little more can be written."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "room.partial"
        try:
            with open(path, "wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size + size // 20 + 2**20)
        finally:
            path.unlink(missing_ok=True)

    def _drop_unfinished(self) -> None:
        for path in self.directory.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def writing(directory: Path) -> Generator[None, None, None]:
    """SpaceError for whatever the disk of a run refuses."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise SpaceError(
            f"cannot write in {directory} ({reason}); free space and go on with --resume"
        ) from None


def abstract(recipe: Run, declared: Any) -> stepping.State:
    """The shapes of a state, without its arrays, of weights that are declared."""
    weights = params.abstract(declared)
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
        jax.eval_shape(partial(stepping.start, recipe), weights),
    )


def checksums(path: Path) -> dict[str, int]:
    """CRC-32 of every file of a checkpoint, by its name."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    ours = (CHECKSUMS, CHECKSUMS + ".partial")
    return {
        str(file.relative_to(path)): zlib.crc32(file.read_bytes())
        for file in files
        if file.name not in ours
    }


def whole(path: Path) -> bool:
    """Without checksums it passes: killed between Orbax's renaming, which is enough, and ours."""
    try:
        return json.loads((path / CHECKSUMS).read_text()) == checksums(path)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
