# SPDX-License-Identifier: Apache-2.0
"""The tool codeExecution: programs of the last turn are run, and what they print is context.

Spark writes no programs. What is run is what the request brings: executableCode without a result,
and blocks that begin with ```python.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pollux.media.part import Part
from pollux.serve import sandbox, wire
from pollux.serve.errors import ApiError, invalid, missing
from pollux.serve.work import Ticket

FENCE = "```"
NAMES = {"python", "py", "python3", "tool_code"}
LONGEST = 100_000  # characters
MOST = 8  # of one request


@dataclass(frozen=True, kw_only=True)
class Ran:
    program: str
    outcome: sandbox.Outcome

    def parts(self) -> tuple[wire.Part, wire.Part]:
        code = wire.ExecutableCode(language="PYTHON", code=self.program)
        result = wire.CodeExecutionResult(outcome=self.outcome.outcome, output=self.outcome.output)
        return wire.Part(executable_code=code), wire.Part(code_execution_result=result)

    def part(self, number: int) -> Part:
        """What it printed, to be read."""
        return Part(name=f"output {number}", kind="text", text=self.outcome.output)


def parts_of(ran: Sequence[Ran]) -> list[wire.Part]:
    return [part for one in ran for part in one.parts()]


def wanted(tools: Sequence[wire.Tool] | None) -> bool:
    """Whether the tool is on; ApiError where this system cannot run programs."""
    if all(tool.code_execution is None for tool in tools or ()):
        return False
    if reason := sandbox.why_not():
        raise missing("the tool codeExecution", f"this system cannot run it safely ({reason})")
    return True


def taken(contents: Sequence[wire.Content]) -> tuple[list[wire.Content], list[str]]:
    """The contents with the programs of the last one as parts of their own, and the programs."""
    *before, last = contents
    parts = [
        new
        for part in last.parts
        for new in ([part] if part.text is None or part.thought else _divided(part.text))
    ]
    programs = []
    for part, following in zip(parts, [*parts[1:], wire.Part()], strict=True):
        code = part.executable_code
        if code and following.code_execution_result is None:
            _check(code)
            programs.append(code.code)
    if len(programs) > MOST:
        raise invalid(f"{len(programs)} programs in one turn, more than {MOST}", "contents")
    return [*before, wire.Content(role=last.role, parts=parts)], programs


def _check(code: wire.ExecutableCode) -> None:
    if (code.language or "PYTHON") not in ("PYTHON", "LANGUAGE_UNSPECIFIED"):
        raise invalid("only PYTHON is run", "contents.parts.executableCode.language")
    if len(code.code) > LONGEST:
        raise invalid(f"a program has at most {LONGEST:,} characters", "contents")


def _divided(text: str) -> list[wire.Part]:
    """Blocks of Python as executableCode, then the rest as one text."""
    programs, rest = [], []
    for is_program, piece in _blocks(text):
        (programs if is_program else rest).append(piece)
    code = [wire.Part(executable_code=wire.ExecutableCode(code=one)) for one in programs]
    remaining = "".join(rest)
    return [*code, wire.Part(text=remaining)] if remaining.strip() or not code else code


def _blocks(text: str) -> Iterator[tuple[bool, str]]:
    """(is a program, text); a block that does not end is none."""
    inside: list[str] | None = None
    for line in text.splitlines(keepends=True):
        mark = line.strip()
        if inside is None:
            if mark.startswith(FENCE) and mark.removeprefix(FENCE).strip().lower() in NAMES:
                inside = [line]
            else:
                yield False, line
        elif mark == FENCE:
            yield True, "".join(inside[1:])
            inside = None
        else:
            inside.append(line)
    if inside is not None:
        yield False, "".join(inside)


def run(programs: Sequence[str], ticket: Ticket) -> list[Ran]:
    """Each in a sandbox of its own."""
    try:
        return [
            Ran(program=program, outcome=sandbox.run(program, check=ticket.check))
            for program in programs
        ]
    except sandbox.Unavailable as error:
        raise ApiError("UNAVAILABLE", f"the sandbox could not be made: {error}") from None
