# SPDX-License-Identifier: Apache-2.0
"""pollux serve: heavy modules are imported when the command runs, not with the command line."""

from pathlib import Path
from typing import Annotated

import typer

from pollux.cache import cache_directory, compiled_directory
from pollux.errors import InputError

GRACE = 30  # seconds that answers under way have to end when the server is stopped


def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen; by default only this machine can ask.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8_000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="POLLUX_API_KEY", help="A key that opens it, better set as POLLUX_API_KEY."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Directory of files and caches; by default in the cache directory."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name for the model, as in gemini-2.5-flash; several times."),
    ] = None,
    context: Annotated[int, typer.Option(help="Tokens of an input at most.")] = 131_072,
    workers: Annotated[int, typer.Option(help="Prompts read at a time.")] = 2,
    waiting: Annotated[int, typer.Option(help="Requests that may wait; more are refused.")] = 256,
    seconds: Annotated[float, typer.Option(help="Time limit of a request.")] = 300.0,
    weights: Annotated[
        Path | None, typer.Option(help="A weights file; by default spark, from the package.")
    ] = None,
) -> None:
    """Serve the Gemini REST API, and OpenAI's chat completions under /openai/v1.

    \b
    genai.Client(api_key="any", http_options={"base_url": "http://127.0.0.1:8000"})

    Every client of them works unchanged: docs/api.md says what is answered and what is left out.
    """
    try:
        from pollux.serve import server
    except ModuleNotFoundError as error:
        raise InputError(f"serving needs {error.name}: install pollux[serve]") from None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(compiled_directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    import pollux
    from pollux.serve.settings import Settings

    settings = Settings(
        state=state or cache_directory() / "serve",
        host=host,
        port=port,
        keys=tuple(api_key or ()),
        aliases=tuple(name.removeprefix("models/") for name in alias or ()),
        context=context,
        workers=workers,
        waiting=waiting,
        seconds=seconds,
    )
    server.run(pollux.load(weights), settings, GRACE)
