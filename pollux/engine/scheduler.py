# SPDX-License-Identifier: Apache-2.0
"""Answers for many threads: one of its own makes them, all together (engine/batch.py)."""

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from queue import SimpleQueue

from pollux.engine.answer import Answer, Guide, Respondent
from pollux.engine.batch import Batch, Task
from pollux.engine.model import Loaded
from pollux.engine.sampling import GREEDY, Sampling
from pollux.errors import BusyError
from pollux.memory.reading import Reading

WAITING = 1_024  # answers asked for and not given, at most
KEPT = 4  # readings open though nothing is asked of them


class Handle:
    """An answer on its way: pieces of text as they come; last, the Answer. Iterate it once.

    Raises what went wrong with it. Ends without an Answer when it was cancelled.
    """

    def __init__(self, task: Task, items: SimpleQueue[str | Answer | Exception | None]):
        self._task, self._items = task, items

    def __iter__(self) -> Iterator[str | Answer]:
        while True:
            item = self._items.get()
            if item is None:
                self._items.put(None)
                return
            if isinstance(item, Exception):
                self._items.put(None)
                raise item
            yield item
            if isinstance(item, Answer):
                self._items.put(None)
                return

    def answer(self) -> Answer:
        """Waits for it; CancelledError when it was cancelled."""
        for item in self:
            if isinstance(item, Answer):
                return item
        raise CancelledError("the answer was cancelled")

    def cancel(self) -> None:
        """Leaves the company of the others before their next step. Does nothing afterwards."""
        self._task.gone = True
        self._items.put(None)


class Scheduler:
    """Give it questions from any thread; `close` it, or use it as a context."""

    def __init__(self, model: Loaded):
        self.model = model
        self._changed = threading.Condition()
        self._arrived: list[Task] = []
        self._handles: dict[Task, Handle] = {}
        self._closed = False
        self._opening = threading.Lock()
        self._open: weakref.WeakValueDictionary[int, Respondent] = weakref.WeakValueDictionary()
        self._recent: deque[Respondent] = deque(maxlen=KEPT)
        self._thread = threading.Thread(target=self._run, name="pollux-answers", daemon=True)
        self._thread.start()

    def submit(
        self,
        reading: Reading | Respondent,
        question: str,
        sampling: Sampling = GREEDY,
        guide: Guide | None = None,
    ) -> Handle:
        """Begins an answer; questions to the same reading (the same object) share its keys.

        InputError and ReadingError as in asking alone, BusyError when too many wait.
        """
        respondent = reading if isinstance(reading, Respondent) else self._respondent(reading)
        items: SimpleQueue[str | Answer | Exception | None] = SimpleQueue()
        task = Task(respondent, respondent.work(question, sampling, guide), items.put)
        with self._changed:
            if self._closed:
                raise BusyError("no more questions are taken; the scheduler was closed")
            if len(self._handles) >= WAITING:
                raise BusyError(f"{WAITING:,} answers are being waited for; ask again later")
            handle = self._handles[task] = Handle(task, items)
            self._arrived.append(task)
            self._changed.notify()
        return handle

    def close(self) -> None:
        """Cancels what is not answered yet, and waits until the thread has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _respondent(self, reading: Reading) -> Respondent:
        with self._opening:
            found = self._open.get(id(reading))
            if found is None:  # an open one keeps its reading, so no other has that id
                found = self._open[id(reading)] = Respondent(self.model, reading)
            if found not in self._recent:
                self._recent.append(found)
            return found

    def _run(self) -> None:
        batch = Batch()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._arrived or batch.busy)
                arrived, self._arrived = self._arrived, []
                if self._closed:
                    for handle in self._handles.values():
                        handle.cancel()
                    return
            for task in arrived:
                batch.join(task)
            try:
                batch.step()
            except Exception as error:  # nothing that is known; those who wait must hear of it
                batch.fail(error)
            with self._changed:
                self._handles = {
                    task: handle for task, handle in self._handles.items() if not task.gone
                }
