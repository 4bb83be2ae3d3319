# SPDX-License-Identifier: Apache-2.0
"""pollux bench: heavy modules are imported when a command runs, not with the command line."""

import json
from pathlib import Path
from typing import Annotated

import rich.console
import rich.table
import typer

app = typer.Typer(help="Measure, beside a peer or a limit in the same run.", no_args_is_help=True)
console = rich.console.Console()

Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write the numbers as JSON.")]


@app.command()
def read(
    repeats: Annotated[int, typer.Option(help="Runs of each length; medians are shown.")] = 3,
    weights: Annotated[
        Path | None, typer.Option(help="By default spark, from the package.")
    ] = None,
    output: Output = None,
) -> None:
    """Reading and answering at 10k, 64k and 1M tokens: speed, disk, memory, and how they grow."""
    from pollux.bench import read as bench
    from pollux.bench.machine import machine

    table = rich.table.Table(
        "tokens",
        "tok/s",
        "text MB/s",
        "bytes/token",
        "peak MiB",
        "open s",
        "first answer s",
        "answer s",
    )
    found = bench.bench_read(repeats=repeats, weights=weights)
    for row in found:
        table.add_row(
            f"{row.tokens:,}",
            f"{row.tokens_per_second:,.0f}",
            f"{row.bytes_per_second / 1e6:.3f}",
            f"{row.bytes_per_token:.1f}",
            f"{row.peak_mebibytes:,.0f}",
            f"{row.open_seconds:.3f}",
            f"{row.first_answer_seconds:.2f}",
            f"{row.answer_seconds:.2f} ({row.answer_tokens} tokens)",
        )
    console.print(table)
    for name, value in bench.summary(found).items():
        console.print(f"{name}: {value:,.3f}")
    agreed = bench.agreement(max(bench.LENGTHS), weights)
    console.print(
        f"scoring every key at every token gives the same answer: {agreed.same} of "
        f"{agreed.answers} at {agreed.tokens:,} tokens; {agreed.scanned_seconds:.2f} s an answer "
        f"instead of {agreed.seconds:.2f}"
    )
    console.print(str(machine()))
    if output:
        bench.save(found, agreed, output)


@app.command()
def train(
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 60.0,
    repeats: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 3,
    torch_python: Annotated[
        Path | None, typer.Option(help="A Python that has torch and transformers, if not this one.")
    ] = None,
    output: Output = None,
) -> None:
    """Our training step beside PyTorch's Mixtral (Hugging Face transformers) of the same shape."""
    from pollux.bench.train import bench_train

    found = bench_train(seconds=seconds, repeats=repeats, torch_python=torch_python)
    console.print(found.table())
    if output:
        output.write_text(found.to_json())


@app.command()
def moe(
    out: Annotated[Path, typer.Option(help="Directory of the runs.")] = Path("runs/bench-moe"),
    steps: Annotated[int, typer.Option(help="Of each of the six runs; about 1.1 s each.")] = 250,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was cut off.")] = False,
) -> None:
    """Trains spark's mixture of experts and its dense twin on the same tokens, three seeds each."""
    from pollux.bench.moe import bench_moe

    console.print(bench_moe(out=out, steps=steps, resume=resume).table())
    console.print_json(
        json.dumps({"picture": str(out / "moe.png"), "numbers": str(out / "moe.json")})
    )
