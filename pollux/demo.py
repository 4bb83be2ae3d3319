# SPDX-License-Identifier: Apache-2.0
"""`make ask`: hide a fact in War and Peace; ask for it, a passage, and what is not there."""

import argparse
import re
import secrets
import sys
from pathlib import Path

from pollux import cli, terminal
from pollux.cache import cache_directory
from pollux.errors import PolluxError
from pollux.examples import plant, war_and_peace

PASSAGE = "Quote the passage that begins “The movement of humanity, arising as it does from”"
SAYING = "there is no greatness where simplicity, goodness, and truth are absent"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make ask", description=__doc__)
    parser.add_argument(
        "--depth", type=float, default=0.5, help="where the fact is hidden: 0 begin, 1 end"
    )
    parser.add_argument(
        "--needle", default="", help="the fact, as in 'The secret word is \"needle\".'"
    )
    given = parser.parse_args()
    needle = given.needle or remembered()
    phrase = re.split(r"\s+(?:is|was|=)\b|:", needle, maxsplit=1)[0].strip()
    book = cache_directory() / "examples" / f"war-and-peace-{given.depth:g}.txt"
    book.parent.mkdir(parents=True, exist_ok=True)
    book.write_text(plant(war_and_peace().text, needle, given.depth), "utf-8")
    terminal.console.print(
        f"hidden at {given.depth:.0%} of War and Peace: {needle}", markup=False, highlight=False
    )
    questions = [
        f"What is {phrase[0].lower() + phrase[1:]}?",
        PASSAGE,
        f'Where does it say "{SAYING}"?',
        "What is the special magic Casablanca number?",
    ]
    model = cli.loaded(None)
    reading = cli.opened(model, [book])
    for question in questions:
        print(f"\n> {question}")
        terminal.show_stream(model.stream(reading, question))


def remembered() -> str:
    """A random number, drawn once, so that the second run finds the reading of the first."""
    kept = Path(cache_directory() / "examples" / "needle.txt")
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        number = 1_000_000 + secrets.randbelow(9_000_000)
        kept.write_text(f"The special magic Paris number is: {number}.")
    return kept.read_text()


if __name__ == "__main__":
    try:
        main()
    except PolluxError as error:
        print(f"pollux: {error}", file=sys.stderr)
        sys.exit(1)
