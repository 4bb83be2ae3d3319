# SPDX-License-Identifier: Apache-2.0
"""pollux bench: heavy modules are imported when a command runs, not with the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import rich.console
import rich.markup
import rich.table
import typer
from rich.status import Status

from pollux.errors import PolluxError
from pollux.options import Weights

if TYPE_CHECKING:
    from pollux.bench.serve import Found

app = typer.Typer(help="Measure, beside a peer or a limit in the same run.", no_args_is_help=True)
console = rich.console.Console()

Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write the numbers as JSON.")]


@app.command()
def read(
    repeats: Annotated[int, typer.Option(help="Runs of each length; medians are shown.")] = 3,
    agreement: Annotated[
        str, typer.Option(help="Tokens at which answers are also made by scoring every key.")
    ] = "1M",
    weights: Weights = None,
    output: Output = None,
) -> None:
    """Reading and answering at 10k, 64k and 1M tokens: speed, disk, memory, and how they grow."""
    from pollux.bench import read as bench
    from pollux.bench.machine import machine
    from pollux.plan.report import tokens_of

    agreed_at = tokens_of(agreement)

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
    agreed = bench.agreement(agreed_at, weights)
    console.print(
        f"scoring every key at every token gives the same answer: {agreed.same} of "
        f"{agreed.answers} at {agreed.tokens:,} tokens; {agreed.scanned_seconds:.2f} s an answer "
        f"instead of {agreed.seconds:.2f}"
    )
    console.print(str(machine()))
    if output:
        bench.save(found, agreed, output)


@app.command()
def batch(
    lengths: Annotated[str, typer.Option(help="Tokens, with commas between.")] = "10k,1M",
    questions: Annotated[int, typer.Option(help="How many are asked.", min=1)] = 32,
    repeats: Annotated[int, typer.Option(help="Of each; the best is shown.", min=1)] = 3,
    weights: Weights = None,
    output: Output = None,
) -> None:
    """Questions answered one at a time, 8 at once and 32 at once: how many a second."""
    from pollux.bench import batch as bench
    from pollux.bench.machine import machine
    from pollux.plan.report import tokens_of

    counted = tuple(tokens_of(one) for one in lengths.split(","))
    found = bench.bench_batch(counted, questions, repeats, weights)
    table = rich.table.Table(
        "tokens", "at once", "questions/s", "answer tokens/s", "times as fast", "same answers"
    )
    for row in found:
        table.add_row(
            f"{row.tokens:,}",
            f"{row.at_once}",
            f"{row.questions_per_second:.2f}",
            f"{row.answer_tokens / row.seconds:.1f}",
            f"{bench.alone(found, row).seconds / row.seconds:.2f}",
            f"{row.same} of {row.questions}",
        )
    console.print(table)
    console.print(str(machine()))
    if output:
        bench.save(found, output)


@app.command()
def train(
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 60.0,
    repeats: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 3,
    torch_python: Annotated[
        Path | None, typer.Option(help="A Python that has torch and transformers, if not this one.")
    ] = None,
    output: Output = None,
) -> None:
    """Our training step beside PyTorch's Mixtral (Hugging Face transformers) of the same shape.

    In each stage of the recipe spark, since long rows and short ones are trained.
    """
    from pollux.bench.train import bench_train

    found = bench_train(seconds=seconds, repeats=repeats, torch_python=torch_python)
    for stage in found.stages:
        console.print(stage.table())
    console.print(found.summary())
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


@app.command()
def peers(
    lengths: Annotated[
        str, typer.Option(help="Tokens, with commas between.")
    ] = "1k,8k,32k,128k,512k,1M,10M",
    cap: Annotated[float, typer.Option(help="Seconds of reading, of each peer and length.")] = 900,
    only: Annotated[
        str, typer.Option(help="Which of them, with commas between.")
    ] = "pollux,llama.cpp,transformers,full,window",
    peer_python: Annotated[
        Path | None,
        typer.Option(help="A Python that has llama-cpp-python, torch, transformers, if not this."),
    ] = None,
    weights: Weights = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Directory: peers.json and .png.")
    ] = Path("bench-peers"),
) -> None:
    """Reading and answering beside llama.cpp, transformers, and other ways to build the same size.

    docs/peers.md says what is compared. What is done is on disk after every measurement.
    """
    from importlib.util import find_spec

    from pollux.bench import peers as bench
    from pollux.bench import peers_report as report
    from pollux.errors import InputError
    from pollux.plan.report import tokens_of

    if not find_spec("matplotlib"):
        raise InputError("the picture needs matplotlib: install pollux[train]")
    chosen = [name.strip() for name in only.split(",") if name.strip()]
    counted = [tokens_of(one) for one in lengths.split(",")]
    with rich.console.Console(stderr=True).status("") as status:
        for found in bench.bench_peers(counted, cap, chosen, peer_python, weights, status.update):
            report.save(found, output)
    for peer, reason in found.missing.items():
        console.print(f"left out, {peer}: {reason}", markup=False)
    console.print(report.table(found))
    console.print_json(json.dumps(report.summary(found)))
    console.print(f"every number: {output}/peers.json; the picture: peers.png", markup=False)


@app.command()
def media(
    files: Annotated[
        list[Path] | None, typer.Argument(help="By default a film, a recording, a photo, made now.")
    ] = None,
    resolution: Annotated[str, typer.Option(help="low, medium or high.")] = "medium",
    fps: Annotated[float, typer.Option(help="Frames of a film looked at a second.")] = 1.0,
    repeats: Annotated[int, typer.Option(help="Runs of each; the fastest is shown.")] = 3,
    output: Output = None,
) -> None:
    """Decoding of images, sound, film and PDF, in the tokens they come to and times real time.

    The last column: until what is written and said in them is text, and times real time.
    """
    from pollux.bench import media as bench
    from pollux.bench.machine import machine
    from pollux.media.resolution import Resolution
    from pollux.media.view import View

    view = View(resolution=cast(Resolution, resolution), fps=fps)
    table = rich.table.Table(
        rich.table.Column("file", no_wrap=True),
        *("kind", "tokens", "tok/s", "pictures/s", "x real", "as text"),
    )
    found = bench.bench_media(files or [], view, repeats)
    for row in found:
        table.add_row(
            rich.markup.escape(row.name),
            row.kind,
            f"{row.tokens:,}",
            f"{row.tokens_per_second:,.0f}",
            f"{row.pictures / row.seconds:,.1f}" if row.pictures else "",
            f"{row.times_real:,.0f}" if row.played else "",
            f"{row.written_seconds:.2f} s"
            + (f", {row.played / row.written_seconds:,.0f} x" if row.played else ""),
        )
    console.print(table)
    console.print(str(machine(bench.PACKAGES)))
    if output:
        bench.save(found, view, output)


@app.command()
def serve(
    clients: Annotated[str, typer.Option(help="How many, with commas between.")] = "1,8,64,256",
    seconds: Annotated[float, typer.Option(help="Of each number of clients.", min=1)] = 20.0,
    long: Annotated[
        str, typer.Option(help="Tokens of a file read beside the second half; 0: none.")
    ] = "1M",
    minutes: Annotated[
        int, typer.Option(help="Then 256 clients for so long: is memory flat?", min=0)
    ] = 0,
    kill: Annotated[
        int, typer.Option(help="Instead: kill a server so many times; is all still there?", min=0)
    ] = 0,
    weights: Weights = None,
    output: Output = None,
) -> None:
    """Requests a second over HTTP, waiting times, and the share of the engine's own speed."""
    from pollux.plan.report import tokens_of

    with rich.console.Console(stderr=True).status("") as status:
        if kill:
            _killed(kill, weights, output, status)
            return
        from pollux.bench import serve as bench

        counted = tuple(int(one) for one in clients.split(","))
        length = tokens_of(long) if long != "0" else 0
        found = bench.bench_serve(counted, seconds, length, minutes, weights, status.update)
    _show_served(found)
    if output:
        bench.save(found, output)


@app.command()
def malformed(
    requests: Annotated[int, typer.Option(help="How many.", min=10)] = 10_000,
    seed: Annotated[int, typer.Option(help="Makes other requests.")] = 0,
    weights: Weights = None,
    output: Output = None,
) -> None:
    """Malformed requests to a server: no failure of its own, no crash, memory flat."""
    from pollux.bench import malformed_run as bench

    with rich.console.Console(stderr=True).status("") as status:
        found = bench.campaign(requests, seed, weights, status.update)
    told = ", ".join(f"{status or 'closed'}: {times:,}" for status, times in found.statuses.items())
    console.print(f"{requests:,} requests: {told}", markup=False)
    console.print(f"{found.warm_mebibytes:,.0f} MiB warm, {found.end_mebibytes:,.0f} at the end")
    for line in found.failures:
        console.print(line, markup=False)
    if output:
        bench.save(found, output)
    if not found.held:
        raise PolluxError("the server did not hold: failures are above, or memory grew")


def _killed(kills: int, weights: Path | None, output: Path | None, status: Status) -> None:
    from dataclasses import asdict

    from pollux.bench.serve_kill import Kept, campaign

    def told(kept: Kept) -> str:
        return (
            f"{kept.kills} kills: {len(kept.files):,} files, {len(kept.caches):,} caches, "
            f"{kept.answers:,} answers, {len(kept.lost)} lost"
        )

    kept = campaign(kills, weights, lambda so_far: status.update(told(so_far)))
    console.print(told(kept))
    for line in kept.lost:
        console.print(line, markup=False)
    if output:
        output.write_text(json.dumps(asdict(kept), indent=1))
    if kept.lost:
        raise PolluxError(f"{len(kept.lost)} of what was acknowledged was lost")


def _show_served(found: "Found") -> None:
    from pollux.bench.machine import machine

    def milliseconds(times: tuple[float, float, float]) -> str:
        return " / ".join(f"{1_000 * one:,.0f}" for one in times)

    table = rich.table.Table(
        "clients",
        "requests/s",
        "of the engine",
        "first ms, p50 / 95 / 99",
        "between ms",
        "429",
        "errors",
        "long tok/s",
        "MiB",
    )
    rows = [
        *((one.load, one.share, one.long_tokens_per_second, one) for one in found.rows),
        *((one.load, 0.0, 0.0, one) for one in found.minutes),
    ]
    for load, share, speed, row in rows:
        table.add_row(
            f"{load.clients}",
            f"{load.requests_per_second:.1f}",
            f"{share:.0%}" if share else "",
            milliseconds(load.first),
            milliseconds(load.between),
            f"{load.refused:,}",
            f"{sum(load.errors.values())}",
            f"{speed:,.0f}" if speed else "",
            f"{row.resident_mebibytes:,.0f}",
        )
    console.print(table)
    for load, *_ in rows:
        for error, times in load.errors.items():
            console.print(f"{load.clients} clients, {times} times: {error}", markup=False)
    console.print(str(machine()))
