# SPDX-License-Identifier: Apache-2.0
"""Pictures of an answer on the page, by untrained weights that are made to draw."""

import pytest
from playwright.sync_api import expect

import pollux
from pollux.serve.app import create
from pollux.serve.settings import Settings
from tests.serve.conftest import listening


@pytest.fixture
def drawer(drawing_weights, tmp_path):
    with listening(create(pollux.load(drawing_weights), Settings(state=tmp_path))) as url:
        yield url


@pytest.mark.usefixtures("wants_to_draw")
def test_pictures_are_shown_and_kept(opened, drawer):
    studio = opened(drawer)
    studio.button("Settings").click()
    studio.page.get_by_label("Output", exact=True).select_option("pictures")
    studio.ask("Draw a red apple.")
    for _ in range(2):
        pictures = studio.answer.get_by_role("img")
        expect(pictures).to_have_count(2)
        expect(pictures.first).to_have_attribute("alt", "Picture 1 for: Draw a red apple.")
        assert pictures.first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
        studio.page.reload()
