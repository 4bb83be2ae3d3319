# SPDX-License-Identifier: Apache-2.0
"""What somebody wants and a tool that may do it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pollux.calls import Parameter, Tool, Turn


@dataclass(frozen=True, kw_only=True)
class Request:
    """`arguments`: those of the call; None where the tool does not fit."""

    tool: Tool
    turns: Sequence[Turn]
    arguments: Mapping[str, str] | None


def mentions(text: str, value: str) -> list[int]:
    """Where `value` stands in the text, as whole words and whole numbers, whatever its case."""
    pattern = rf"(?<!\w)(?<!\d[.:,-]){re.escape(value)}(?!\w|[.:,-]\d)"
    return [found.start() for found in re.finditer(pattern, text, re.I)]


def said(parameter: Parameter, value: str, turns: Sequence[Turn]) -> bool:
    """Whether the value can be pointed at: it is listed, or somebody said it."""
    if parameter.listed:
        return value.casefold() in {one.casefold() for one in parameter.listed}
    return any(mentions(turn.text, value) for turn in turns)
