# SPDX-License-Identifier: Apache-2.0
"""Options that many commands have."""

from pathlib import Path
from typing import Annotated

import typer

Weights = Annotated[Path | None, typer.Option(help="By default spark, from the package.")]
Haystack = Annotated[
    list[Path] | None,
    typer.Option(help="A file or directory; may be repeated. By default War and Peace."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with what OUTPUT holds; lengths may be added.")
]
