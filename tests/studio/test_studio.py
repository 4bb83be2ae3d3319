# SPDX-License-Identifier: Apache-2.0
"""The Studio in Debian's Chromium, against the real server with spark."""

import base64
import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.studio.conftest import KEY

BERLIN = "What is the access code for Berlin?"
PARIS = "What is the access code for Paris?"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNoceUCAAIkANQOxWeWAAAAAElFTkSuQmCC"
)
DRAG = """([kind, names]) => {
  const bag = new DataTransfer();
  for (const name of names) bag.items.add(new File([`The colour of ${name} is green.\\n`], name));
  const options = { dataTransfer: bag, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent(kind, options));
}"""


def test_upload_ask_and_follow_a_source(studio, notes):
    studio.upload(notes)
    studio.ask(BERLIN)
    expect(studio.answer).to_contain_text("5591823")
    expect(studio.answer).to_contain_text("tokens asked")
    source = studio.button("Source 1")
    source.press("Enter")
    panel = studio.page.get_by_role("region", name="Source in its context")
    expect(panel.locator(".here")).to_contain_text("The access code for Berlin is 5591823.")
    expect(panel.locator("mark")).not_to_be_empty()
    expect(panel.get_by_role("heading")).to_be_focused()
    studio.page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(source).to_be_focused()


def test_a_place_within_an_answer_is_a_link(studio, notes, code):
    studio.upload(notes, code)
    studio.ask("Where is the function grind_corn defined?")
    studio.button("mill.py:1").click()
    expect(studio.page.locator(".here")).to_contain_text("def grind_corn(sacks):")


def test_what_the_text_does_not_say_and_what_is_no_question(studio, notes):
    studio.upload(notes)
    studio.ask("What is the access code for Lima?")
    expect(studio.answer).to_contain_text("not in the text")
    expect(studio.button("Source")).to_have_count(0)
    studio.ask("Tell me a joke")
    expect(studio.answer.get_by_role("heading")).to_have_text("Passages that come to mind")
    expect(studio.answer.locator(".said")).not_to_contain_text("[1]")


def test_files_are_dropped_and_pictures_shown(studio, tmp_path):
    names = ["door.txt", "gate.txt"]
    studio.page.evaluate(DRAG, ["dragover", names])
    expect(studio.page.get_by_text("Drop files to read them")).to_be_visible()
    studio.page.evaluate(DRAG, ["drop", names])
    for name in names:
        expect(studio.item(name)).to_contain_text("tokens")
    picture = tmp_path / "pixel.png"
    picture.write_bytes(PIXEL)
    studio.page.locator("input[type=file]").set_input_files(str(picture))
    shown = studio.item("pixel.png")
    expect(shown.locator("img")).to_have_js_property("naturalWidth", 1)
    expect(shown).to_contain_text("tokens")
    studio.ask("What is the colour of gate.txt?")  # there is nothing written on the picture
    expect(studio.answer).to_contain_text("green")


def test_pasted_text_is_a_file_and_counts(studio):
    meter = studio.page.locator(".meter")
    studio.button("Paste text").click()
    dialog = studio.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("lima.txt")
    dialog.get_by_role("textbox", name="Text").fill("The access code for Lima is 90817.\n")
    dialog.get_by_role("button", name="Read it").click()
    expect(studio.item("lima.txt")).to_contain_text("tokens")
    studio.page.get_by_role("textbox", name="Question").fill("What is the access code for Lima?")
    meter.locator("summary").click()
    expect(meter.get_by_role("row", name="question")).to_be_visible()
    parts = [int(re.sub(r"\D", "", cell)) for cell in meter.locator(".figure").all_inner_texts()]
    expect(meter.locator(".told")).to_have_text(f"{sum(parts)} of 20,000 tokens")
    assert len(parts) == 2 and min(parts) > 5


def test_more_than_the_server_reads_is_not_sent(studio, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text("word and word\n" * 8_000)
    studio.upload(long)
    studio.page.get_by_role("textbox", name="Question").fill(BERLIN)
    expect(studio.page.get_by_role("alert")).to_contain_text("More than this server reads")
    expect(studio.button("Ask Ctrl")).to_be_disabled()
    studio.page.get_by_label("Ask long.txt").uncheck()
    expect(studio.button("Ask Ctrl")).to_be_enabled()


def test_readings_are_saved_combined_and_deleted(studio, tmp_path):
    for city, number in (("Berlin", 5591823), ("Paris", 7740216)):
        path = tmp_path / f"{city}.txt"
        path.write_text(f"The access code for {city} is {number}.\n")
        studio.upload(path)
        studio.button("Save files").click()
        studio.page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
        expect(studio.page.get_by_role("dialog")).to_have_count(0)
        studio.button(f"Delete {city}.txt").click()
    # Only the newer one is picked.
    studio.page.get_by_label("Ask Berlin").check()
    studio.button("Combine 2 readings").click()
    both = studio.page.get_by_label("Ask Paris + Berlin")
    expect(both).to_be_checked()
    for question, number in ((BERLIN, "5591823"), (PARIS, "7740216")):
        studio.ask(question)
        expect(studio.answer).to_contain_text(number)
    studio.answer.get_by_role("button", name="Source 1").click()
    expect(studio.page.locator(".here")).to_contain_text("Paris is 7740216")
    studio.button("Delete Paris + Berlin").click()
    expect(both).to_have_count(0)


def test_an_answer_is_cancelled_and_the_next_one_comes(studio, notes):
    studio.upload(notes)
    studio.button("Settings").click()
    studio.page.get_by_label("Output", exact=True).select_option("json")
    # A text without an end: 256 tokens of it take a second or more.
    endless = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    studio.page.get_by_label("JSON schema").fill(json.dumps(endless))
    studio.ask(BERLIN)
    expect(studio.answer.locator(".said")).not_to_be_empty()
    studio.page.keyboard.press("Escape")
    expect(studio.answer).to_contain_text("Stopped.")
    studio.button("Reset").click()
    studio.ask(BERLIN)
    expect(studio.answer).to_contain_text("5591823")


def test_a_reload_loses_nothing(studio, notes):
    studio.upload(notes)
    studio.ask(BERLIN)
    expect(studio.answer).to_contain_text("5591823")
    studio.page.get_by_role("textbox", name="Question").fill("half a")
    studio.page.reload()
    expect(studio.answer).to_contain_text("5591823")
    expect(studio.page.get_by_role("textbox", name="Question")).to_have_value("half a")
    expect(studio.page.get_by_label("Ask notes.txt")).to_be_checked()
    studio.button("Source 1").click()
    expect(studio.page.locator(".here")).to_contain_text("Berlin")
    studio.page.keyboard.press("Escape")
    studio.ask(PARIS)
    expect(studio.answer).to_contain_text("7740216")


def test_settings_are_checked_and_used(studio, notes):
    studio.upload(notes)
    studio.page.get_by_role("textbox", name="Question").fill(BERLIN)
    studio.button("Settings").click()
    output, page = studio.page.get_by_label("Output", exact=True), studio.page
    output.select_option("json")
    page.get_by_label("JSON schema").fill('{"type": ')
    expect(page.get_by_label("JSON schema")).to_have_attribute("aria-invalid", "true")
    expect(studio.button("Ask Ctrl")).to_be_disabled()
    page.get_by_label("JSON schema").fill("")
    studio.button("Insert an example").first.click()
    studio.ask(BERLIN)
    expect(studio.answer.locator(".said")).to_contain_text("code")
    expect(studio.answer).to_contain_text("tokens asked")
    assert re.fullmatch(r"\d{7}", json.loads(studio.answer.locator(".said").inner_text())["code"])
    output.select_option("text")
    studio.button("Insert an example").click()
    page.get_by_label("Mode").select_option("ANY")
    studio.ask(BERLIN)
    expect(studio.answer.get_by_role("figure")).to_contain_text("open_gate")


def test_the_code_does_what_the_page_did(studio, notes, capsys):
    studio.upload(notes)
    studio.page.get_by_role("textbox", name="Question").fill(BERLIN)
    studio.button("Get code").click()
    dialog = studio.page.get_by_role("dialog")
    exec(dialog.locator("pre").inner_text(), {})
    assert "5591823" in capsys.readouterr().out
    dialog.get_by_role("button", name="curl").click()
    expect(dialog.locator("pre")).to_contain_text(":generateContent")


def test_examples_bring_their_files_along(studio):
    studio.button("When was it said").click()
    expect(studio.answer).to_contain_text("00:12:40, notes.txt:2")


def test_the_novel_is_read_as_far_as_it_fits(studio):
    expect(studio.button("Try War and Peace")).to_contain_text("18,000 tokens")
    studio.button("Try War and Peace").click()
    expect(studio.item("war-and-peace.txt")).to_contain_text("tokens", timeout=60_000)
    studio.button("What is the special magic Paris number?").click()
    expect(studio.answer).to_contain_text(re.compile(r"number is: \d{7}"))


def test_a_key_is_asked_for_once(opened, locked):
    studio = opened(locked)
    dialog = studio.page.get_by_role("dialog", name="This server asks for a key")
    for key in ("a-wrong-secret", KEY):
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button", name="Open").click()
        if key != KEY:
            expect(dialog.get_by_role("alert")).to_contain_text("does not know")
    expect(dialog).to_have_count(0)
    expect(studio.page.locator(".server")).to_have_text("spark")
    studio.page.reload()
    expect(studio.page.locator(".server")).to_have_text("spark")
    assert studio.page.evaluate("JSON.stringify(localStorage)").count(KEY) == 0


def test_both_languages(opened):
    studio = opened(locale="zh-CN")
    expect(studio.page.get_by_role("heading", level=1)).to_have_text("问一问文中怎么说")
    studio.button("查找事实").click()
    expect(studio.answer).to_contain_text("柏林的秘密密码是4471")
    studio.button("English").click()
    expect(studio.button("Get code")).to_be_visible()
    assert studio.page.locator("html").get_attribute("lang") == "en"
    studio.page.reload()
    expect(studio.button("Get code")).to_be_visible()


def test_phone_width(opened, notes):
    studio = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = studio.page
    page.locator("input[type=file]").set_input_files(str(notes))
    page.get_by_role("button", name="Context 1").tap()
    expect(studio.item("notes.txt")).to_contain_text("tokens")
    page.get_by_role("complementary").get_by_role("button", name="Close").tap()
    page.get_by_role("textbox", name="Question").fill(BERLIN)
    studio.button("Ask").last.tap()
    expect(studio.answer).to_contain_text("5591823")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    studio.button("Source 1").tap()
    expect(page.locator(".here")).to_be_in_viewport()
    box = page.locator(".panel").bounding_box()
    assert box and box["width"] == 390


def test_keys_lead_to_the_question(studio):
    page = studio.page
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the question")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Question")).to_be_focused()
    page.get_by_role("link", name="Needle grid").focus()
    studio.button("Settings").focus()
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Question")).to_be_focused()
    expect(page.get_by_role("textbox", name="Question")).to_have_value("")


@pytest.fixture
def report(tmp_path):
    """needle.json as `pollux eval needle` writes it, of two cells."""
    from pollux.evals.needle_results import Cell, Results

    settings = {"weights": "0123456789abcdef", "trials": 2}
    results = Results(directory=tmp_path, settings=settings)
    trial = {"question": "What is the special magic Oslo number?", "expected": ["1234567"]}
    trial |= {"text": "The special magic Oslo number is: 1234567.", "kind": "answer"}
    trial |= {"right": True, "found": 1, "depth": 0.5, "line": 12, "place": "book.txt:12"}
    trial |= {"probability": 0.9, "seconds": 0.1, "planting_seconds": 0.1}
    missed = trial | {"text": "", "kind": "other", "right": False, "found": 0, "line": 13}
    stack = {"tokens": 1000, "lines": 50, "repeats": 1.0, "read_seconds": 1.0}
    for depth, trials in ((0.0, [trial]), (1.0, [trial, missed])):
        results.add(Cell(family="needle", length=1_000, depth=depth), trials, stack)
    return tmp_path / "needle.json"


def test_the_needle_grid(studio, report, notes):
    page = studio.page
    page.get_by_role("link", name="Needle grid").click()
    page.get_by_label("Choose needle.json").set_input_files(str(notes))
    expect(page.get_by_role("alert")).to_contain_text("no report")
    page.get_by_label("Choose needle.json").set_input_files(str(report))
    expect(page.get_by_role("row", name="all depths")).to_contain_text("66.7%")
    studio.button("1k, depth 100%: 1 of 2 right").click()
    trials = page.get_by_role("region", name="Trials: 1k, depth 100%")
    expect(trials.get_by_role("listitem")).to_have_count(2)
    trials.get_by_label("Only wrong ones").check()
    expect(trials.get_by_role("listitem")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("textbox", name="Question")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, notes, report, scheme):
    studio = opened(color_scheme=scheme)
    page = studio.page
    page.get_by_role("heading", level=1).wait_for()
    check(page)
    studio.upload(notes)
    studio.ask(BERLIN)
    expect(studio.answer).to_contain_text("tokens asked")
    studio.button("Source 1").click()
    page.locator("mark").wait_for()
    page.locator(".meter summary").click()
    check(page)
    studio.button("Settings").click()
    page.get_by_label("Output", exact=True).select_option("json")
    check(page)
    studio.button("Get code").click()
    check(page)
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Needle grid").click()
    page.get_by_label("Choose needle.json").set_input_files(str(report))
    studio.button("1k, depth 100%").click()
    check(page)


def check(page) -> None:
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    told = [(one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in grave]
    assert not told
