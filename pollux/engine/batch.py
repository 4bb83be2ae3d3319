# SPDX-License-Identifier: Apache-2.0
"""Many answers in the making, a step at a time: they share the weights and the passes over keys.

In a step every answer comes one stage further: tokens of different answers go through both stacks
together, whatever they are read from; answers that need every key of one reading get them in one
pass. A pass over a long reading is spread over several steps, so short ones need not wait for it.
Answers join and leave between steps (continuous batching, Yu et al. 2022, Orca).
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pollux.engine import continuation, scan
from pollux.engine.answer import Answer, Guide, Respondent, Work
from pollux.engine.continuation import Advance, Recall
from pollux.engine.sampling import GREEDY, Sampling
from pollux.engine.scan import Hits

AT_ONCE = 32  # answers in the making
STARTS = 8  # of them in a step: each reads its question first
ROOM = 2 << 30  # bytes of sums, a number for each key, head and answer
LARGE = ROOM // AT_ONCE  # what takes more has to find room

Deliver = Callable[[str | Answer | Exception], None]


@dataclass(eq=False)
class Task:
    """One answer. Whoever sets `gone`, at any time and in any thread, hears no more of it."""

    respondent: Respondent
    work: Work
    deliver: Deliver  # pieces of text, then the Answer or what went wrong
    need: Advance | Recall | None = None
    gone: bool = False

    @cached_property
    def nbytes(self) -> int:
        return scan.total_bytes(self.respondent.model, self.respondent.stretches)


@dataclass(eq=False)
class Pass:
    """Answers that wait for all keys of their reading, and how far it has been gone through."""

    tasks: list[Task]
    making: Generator[None, None, list[Hits]]


@dataclass(eq=False)
class Batch:
    """Not for several threads: see engine/scheduler.py."""

    at_once: int = AT_ONCE
    waiting: OrderedDict[Respondent, deque[Task]] = field(default_factory=OrderedDict)
    running: list[Task] = field(default_factory=list)
    passes: dict[Respondent, Pass] = field(default_factory=dict)

    def add(
        self,
        respondent: Respondent,
        question: str,
        deliver: Deliver,
        sampling: Sampling = GREEDY,
        guide: Guide | None = None,
    ) -> Task:
        """An answer to be made; InputError when the question cannot be asked."""
        task = Task(respondent, respondent.work(question, sampling, guide), deliver)
        self.join(task)
        return task

    def join(self, task: Task) -> None:
        self.waiting.setdefault(task.respondent, deque()).append(task)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running)

    def step(self) -> None:
        """Every answer comes one stage further, or its reading some keys."""
        for task in [task for task in self.running if task.gone]:
            self._end(task)
        self._start()
        self._advance([task for task in self.running if isinstance(task.need, Advance)])
        self._recall([task for task in self.running if isinstance(task.need, Recall)])

    def fail(self, error: Exception) -> None:
        """Tells every answer, and forgets them."""
        tasks = [*self.running, *(task for queue in self.waiting.values() for task in queue)]
        self.waiting, self.running, self.passes = OrderedDict(), [], {}
        for task in tasks:
            self._end(task, error)

    def _start(self) -> None:
        """As many as there is room for: of each reading in turn the one that came first."""
        held = sum(task.nbytes for task in self.running if task.nbytes > LARGE)
        starts, crowded, turned = 0, False, True
        while turned:
            turned = False
            for respondent in list(self.waiting):
                queue = self.waiting[respondent]
                while queue and queue[0].gone:
                    queue.popleft()
                if queue and (starts == STARTS or len(self.running) == self.at_once):
                    return
                size = queue[0].nbytes if queue else 0
                large = size > LARGE
                # The first large one that finds no room has the next: it is not overtaken.
                crowded |= large and bool(held) and held + size > ROOM
                if large and crowded:
                    continue
                del self.waiting[respondent]
                if not queue:
                    continue
                task = queue.popleft()
                if queue:
                    self.waiting[respondent] = queue
                held += size if large else 0
                starts, turned = starts + 1, True
                self.running.append(task)
                self._go_on(task, None)

    def _go_on(self, task: Task, given: object) -> None:
        """Sends the answer what it needed, and delivers what it gives until it needs more.

        Its text in one piece: who is told takes a moment of the one thread that can run.
        """
        text, last, failed = "", None, None
        try:
            item = task.work.send(given)
            while isinstance(item, str | Answer):
                if isinstance(item, str):
                    text += item
                else:
                    last = item
                item = next(task.work)
            task.need, ended = item, False
        except StopIteration:
            ended = True
        except Exception as error:  # whatever it is, it is this answer's: the others go on
            ended, failed = True, error
        for told in (text, last):
            if told and not task.gone:
                task.deliver(told)
        if ended:
            self._end(task, failed)

    def _end(self, task: Task, error: Exception | None = None) -> None:
        if error and not task.gone:
            task.deliver(error)
        task.gone, task.need = True, None
        task.work.close()
        self.running = [other for other in self.running if other is not task]

    def _advance(self, tasks: list[Task]) -> None:
        needs = [task.need for task in tasks if task.need]
        for group in continuation.together(needs):
            self._meet([tasks[number] for number in group], {})

    def _meet(self, tasks: list[Task], best: dict[Task, Hits]) -> None:
        """What they need, together. If that fails each alone, so that it fails those it must."""
        try:
            if best:
                recalls = [task.need for task in tasks if isinstance(task.need, Recall)]
                found = continuation.recall(recalls, [best[task] for task in tasks])
            else:
                advances = [task.need for task in tasks if isinstance(task.need, Advance)]
                found = continuation.advance(advances)
        except Exception as error:
            if len(tasks) == 1:
                self._end(tasks[0], error)
                return
            for task in tasks:
                self._meet([task], best)
            return
        for task, one in zip(tasks, found, strict=True):
            self._go_on(task, one)

    def _recall(self, tasks: list[Task]) -> None:
        """Begins a pass for each reading that has none, and takes each some keys further."""
        under_way = {task for one in self.passes.values() for task in one.tasks}
        joining: dict[Respondent, list[Task]] = {}
        for task in tasks:
            if task not in under_way and task.respondent not in self.passes:
                joining.setdefault(task.respondent, []).append(task)
        for respondent, together in joining.items():
            needs = [task.need for task in together if isinstance(task.need, Recall)]
            for need in needs:
                need.made.ask(need.index)
            self.passes[respondent] = Pass(together, scan.recall([n.made.scan for n in needs]))
        for respondent, one in list(self.passes.items()):
            try:
                next(one.making)
            except StopIteration as stop:
                del self.passes[respondent]
                self._recalled(one.tasks, stop.value)
            except Exception as error:
                del self.passes[respondent]
                for task in one.tasks:
                    self._end(task, error)

    def _recalled(self, tasks: list[Task], hits: list[Hits]) -> None:
        best = {task: one for task, one in zip(tasks, hits, strict=True) if not task.gone}
        alive = [task for task in best if task.need]
        for group in continuation.together([task.need for task in alive if task.need]):
            self._meet([alive[number] for number in group], best)


def ask_many(
    questions: Sequence[tuple[Respondent, str]],
    sampling: Sampling = GREEDY,
    at_once: int = AT_ONCE,
) -> list[Answer]:
    """The answers in that order; the first error ends all."""
    batch, answers, errors = Batch(at_once), {}, []

    def deliver(number: int, item: str | Answer | Exception) -> None:
        if isinstance(item, Exception):
            errors.append(item)
        elif isinstance(item, Answer):
            answers[number] = item

    for number, (respondent, question) in enumerate(questions):
        batch.add(respondent, question, lambda item, n=number: deliver(n, item), sampling)
    while batch.busy and not errors:
        batch.step()
    if errors:
        raise errors[0]
    return [answers[number] for number in range(len(questions))]
