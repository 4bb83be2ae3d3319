# SPDX-License-Identifier: Apache-2.0
"""One server with spark and one browser for all tests of the Studio."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.types import ASGIApp

from pollux.serve.app import create
from pollux.serve.gate import Gate
from pollux.serve.hub import Hub
from pollux.serve.settings import Settings
from tests.serve.conftest import listening

NAMES = ("chromium", "chromium-browser", "google-chrome")
# It is not to look for anything outside: there is one server, on this machine.
OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
NOTES = """The access code for Berlin is 5591823. The access code for Paris is 7740216.
[00:12:40] ANNA: We should meet at the old mill after the rain, before anybody else comes.
柏林的秘密密码是4471。
"""
CODE = "def grind_corn(sacks):\n    return sacks * 2\n"
PATIENCE = 15_000  # ms
KEY = "a-long-secret"

expect.set_options(timeout=PATIENCE)


@dataclass(frozen=True, kw_only=True)
class Running:
    url: str
    hub: Hub
    app: ASGIApp  # what is behind the gate


@pytest.fixture(scope="session")
def server(spark, tmp_path_factory):
    settings = Settings(state=tmp_path_factory.mktemp("studio"), context=20_000)
    gate = create(spark, settings)
    assert isinstance(gate, Gate)
    with listening(gate) as url:
        yield Running(url=url, hub=gate.app.state.hub, app=gate.app)


@pytest.fixture(scope="session")
def locked(server):
    """The same server at another address, where it asks for a key."""
    settings = Settings(state=server.hub.settings.state, keys=(KEY,))
    with listening(Gate(server.app, settings), lifespan="off") as url:
        yield url


@pytest.fixture(scope="module")  # while it is open no other test can run an event loop
def browser():
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("CI tests the Studio in a browser: install Debian's chromium (make chromium)")
    if found is None:
        pytest.skip("no chromium on the path: `make chromium` installs Debian's")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS.split())
        yield browser
        browser.close()


class Studio:
    """A page of the Studio, with what tests do on it."""

    def __init__(self, context: BrowserContext, url: str):
        self.context, self.url = context, url
        self.page: Page = context.new_page()
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._told)
        self.page.goto(url)

    def _told(self, message) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.troubles.append(message.text)

    def upload(self, *paths: Path) -> None:
        self.page.locator("input[type=file]").set_input_files([str(path) for path in paths])
        for path in paths:
            self.item(path.name).get_by_text("tokens").wait_for()

    def item(self, name: str):
        return self.page.locator(".item", has_text=name).first

    def ask(self, question: str) -> None:
        self.page.get_by_role("textbox", name="Question").fill(question)
        self.page.keyboard.press("Control+Enter")

    @property
    def answer(self):
        """The last one."""
        return self.page.locator(".turn").last

    def button(self, name: str):
        return self.page.get_by_role("button", name=name)


@pytest.fixture
def opened(browser: Browser, server):
    """Makes pages, each in a context of its own; at the end none of them had an error."""
    made: list[Studio] = []

    def open_studio(url: str = "", **options) -> Studio:
        options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-US"} | options
        context = browser.new_context(**options)
        made.append(Studio(context, url or server.url))
        return made[-1]

    yield open_studio
    for one in made:
        one.context.close()
    assert [one.troubles for one in made] == [[] for _ in made]


@pytest.fixture
def studio(opened) -> Studio:
    return opened()


@pytest.fixture
def notes(tmp_path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text(NOTES, "utf-8")
    return path


@pytest.fixture
def code(tmp_path) -> Path:
    path = tmp_path / "mill.py"
    path.write_text(CODE, "utf-8")
    return path


@pytest.fixture(autouse=True)
def nothing_left(server):
    """Files and readings of a test are gone before the next one."""
    yield
    for store in (server.hub.files, server.hub.caches):
        for number in list(store.records):
            store.remove(number)
            server.hub.library.forget(f"{store.kind}/{number}")
