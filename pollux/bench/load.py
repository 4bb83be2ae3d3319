# SPDX-License-Identifier: Apache-2.0
"""Clients that ask one question after another, each in a thread: how many, and how long they wait.

The same for questions over HTTP and for those asked of the model directly.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pollux.bench.read import text_of
from pollux.examples import plant

CITIES = "Lima Oslo Quito Cairo Delhi Minsk Rome Accra Hanoi Tunis Doha Baku Riga Bern Kyiv Malmo"
PROMPTS = 32
CHARACTERS = 1_500  # of a prompt's text
REST = 0.5  # seconds a client waits when it was refused

Ask = Callable[[int, int], Iterator[object]]  # client, number of the question; yields as words come


class Refused(Exception):
    """Too many wait: to be asked again later."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Seconds at the 50th, 95th and 99th percentile; only what ended within the time."""

    clients: int
    seconds: float
    requests: int
    pieces: int  # of text
    refused: int
    errors: dict[str, int]
    first: tuple[float, float, float]  # until the first piece
    between: tuple[float, float, float]

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


def prompts() -> list[tuple[str, str]]:
    """(text, question): a passage of a book with a fact in it that is asked for."""
    rng, book = random.Random(0), text_of(PROMPTS * CHARACTERS)
    names = CITIES.split()
    found = []
    for number in range(PROMPTS):
        name = f"{names[number % len(names)]} {number}"
        passage = book[number * CHARACTERS :][:CHARACTERS]
        fact = f"The access code for {name} is: {rng.randrange(10**6, 10**7)}."
        found.append((plant(passage, fact, rng.random()), f"What is the access code for {name}?"))
    return found


def drive(clients: int, seconds: float, ask: Ask) -> Load:
    """All clients at once; who is refused waits a little and asks again."""
    lock, stop = threading.Lock(), threading.Event()
    firsts: list[float] = []
    gaps: list[float] = []
    counted: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    began = time.monotonic()

    def work(client: int) -> None:
        number = client
        while not stop.is_set():
            asked, times = time.monotonic(), []
            try:
                times = [time.monotonic() for _ in ask(client, number)]
            except Refused:
                counted["refused"] += 1
                stop.wait(REST)
                continue
            except Exception as error:
                with lock:
                    errors[f"{type(error).__name__}: {error}"[:200]] += 1
                stop.wait(REST)
            number += clients
            if times and times[-1] <= began + seconds:
                with lock:
                    counted["requests"] += 1
                    counted["pieces"] += len(times)
                    firsts.append(times[0] - asked)
                    gaps.extend(b - a for a, b in zip(times, times[1:], strict=False))

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    stop.set()
    for thread in threads:
        thread.join()
    return Load(
        clients=clients,
        seconds=seconds,
        requests=counted["requests"],
        pieces=counted["pieces"],
        refused=counted["refused"],
        errors=dict(errors),
        first=percentiles(firsts),
        between=percentiles(gaps),
    )


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """The 50th, 95th and 99th; zeros where there are no values."""
    if not values:
        return 0.0, 0.0, 0.0
    ordered = sorted(values)
    fifty, ninety_five, ninety_nine = (
        ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.95, 0.99)
    )
    return fifty, ninety_five, ninety_nine
