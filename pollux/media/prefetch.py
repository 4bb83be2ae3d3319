# SPDX-License-Identifier: Apache-2.0
"""Work done ahead: an iterator runs in a thread of its own while what it gave is used."""

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
_WAIT = 0.1  # seconds between looks whether anybody still wants more


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None = None


def ahead(items: Iterable[Item], depth: int = 8) -> Generator[Item, None, None]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    An error comes where it would have come. Closing it ends the thread, and closes a generator.
    """
    ready: queue.Queue[Item | _Ended] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(value: Item | _Ended) -> None:
        while not unwanted.is_set():
            try:
                return ready.put(value, timeout=_WAIT)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(item)
                if unwanted.is_set():
                    break
            if isinstance(items, Generator):
                items.close()
            put(_Ended())
        except BaseException as error:  # raised again where it is waited for
            put(_Ended(error))

    thread = threading.Thread(target=work, daemon=True, name="ahead")
    thread.start()
    try:
        while not isinstance(value := ready.get(), _Ended):
            yield value
        if value.error is not None:
            raise value.error
    finally:
        unwanted.set()
        thread.join()
