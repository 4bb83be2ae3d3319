# SPDX-License-Identifier: Apache-2.0
"""The real server with spark, on a free port of this machine, and clients of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import httpx
import pytest
import uvicorn
from google import genai

from pollux.serve.app import create
from pollux.serve.hub import Hub
from pollux.serve.settings import Settings

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Running:
    url: str
    hub: Hub

    def sdk(self, **options) -> genai.Client:
        return genai.Client(
            api_key=options.pop("api_key", "any"), http_options={"base_url": self.url, **options}
        )

    def http(self, **headers) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=60.0)


@contextmanager
def listening(app, lifespan: Literal["on", "off"] = "on") -> Iterator[str]:
    """The address of an application in a thread of this process.

    When left, it was shut down in good order.
    """
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, lifespan=lifespan, ws="none"
    )
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


@contextmanager
def running(model, state, **settings) -> Iterator[Running]:
    app = create(model, Settings(state=state, port=0, **settings))
    with listening(app) as url:
        yield Running(url=url, hub=app.app.state.hub)


@pytest.fixture(scope="session")
def server(spark, tmp_path_factory):
    """For all tests that need nothing special of a server."""
    state = tmp_path_factory.mktemp("state")
    limits = {"request_bytes": 2 * MIB, "file_bytes": 12 * MIB, "context": 20_000}
    with running(spark, state, aliases=("gemini-2.5-flash",), **limits) as one:
        yield one


@pytest.fixture(scope="session")
def client(server):
    with server.sdk() as client:
        yield client


@pytest.fixture(scope="session")
def http(server):
    with server.http() as http:
        yield http


@pytest.fixture(scope="session")
def book():
    """A few thousand tokens with a fact in them."""
    from pollux.examples import plant, war_and_peace

    return plant(war_and_peace().text[:16_000], FACT, 0.6)


FACT = "The special magic Reykjavik number is: 4711023."
QUESTION = "What is the special magic Reykjavik number?"
NUMBER = "4711023"


def asked(*texts, **more):
    """A generateContent body."""
    return {"contents": [{"role": "user", "parts": [{"text": text} for text in texts]}], **more}
