# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of docs/studio.md: `python -m tests.studio.pictures [needle.json]`."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

import pollux
from pollux.serve.app import create
from pollux.serve.settings import Settings
from tests.studio.conftest import NAMES, OPTIONS, listening

IMAGES = Path(__file__).parents[2] / "docs" / "images"
QUESTIONS = (
    "What is the special magic Paris number?",
    'Quote the passage that begins "Can one be calm in times like these"',
)
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 780}


def main() -> None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with tempfile.TemporaryDirectory() as state, sync_playwright() as playwright:
        app = create(pollux.load(), Settings(state=Path(state), context=20_000))
        browser = playwright.chromium.launch(executable_path=found, args=OPTIONS.split())
        with listening(app) as url:
            asked(browser, url)
            on_the_phone(browser, url)
            grid(browser, url, Path(sys.argv[1]) if len(sys.argv) > 1 else None)
        browser.close()


def opened(browser: Browser, url: str, size: dict[str, int], scheme: str) -> Page:
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-US")
    page = context.new_page()
    page.goto(url)
    page.get_by_role("heading", level=1).wait_for()
    return page


def saved(page: Page, name: str) -> None:
    page.wait_for_timeout(600)
    page.screenshot(path=IMAGES / f"studio-{name}.png")
    page.context.close()


def asked(browser: Browser, url: str) -> None:
    page = opened(browser, url, DESK, "light")
    page.get_by_role("button", name="Try War and Peace").click()
    page.locator(".item .state", has_text="tokens").wait_for(timeout=120_000)
    page.locator(".item progress").wait_for(state="detached", timeout=120_000)
    for question in QUESTIONS:
        page.get_by_role("textbox", name="Question").fill(question)
        page.keyboard.press("Control+Enter")
        page.locator(".turn", has_text=question).locator(".spent").wait_for()
    page.get_by_role("button", name="Source 1").last.click()
    page.locator("mark").wait_for()
    saved(page, "ask")


def on_the_phone(browser: Browser, url: str) -> None:
    page = opened(browser, url, PHONE, "dark")
    page.get_by_role("button", name="When was it said").click()
    page.locator(".spent").wait_for()
    saved(page, "phone")


def grid(browser: Browser, url: str, report: Path | None) -> None:
    if report is None:
        return  # it needs a needle.json, which takes `pollux eval needle` a while
    page = opened(browser, url, DESK, "dark")
    page.get_by_role("link", name="Needle grid").click()
    page.get_by_label("Choose needle.json").set_input_files(str(report))
    page.locator(".square").nth(3).click()
    page.locator(".gridpage").evaluate("page => page.scrollTo(0, 0)")
    saved(page, "grid")


if __name__ == "__main__":
    main()
