# SPDX-License-Identifier: Apache-2.0
"""Pictures among the words of an answer, by untrained weights that are made to draw."""

import jax.numpy as jnp
import numpy as np
import pytest

import pollux
from pollux.config import DRAWN_CODES
from pollux.engine import drawing
from pollux.engine.sampling import FORBIDDEN, Sampling
from pollux.errors import InputError


@pytest.fixture(scope="module")
def drawer(drawing_weights):
    return pollux.load(drawing_weights)


@pytest.fixture(scope="module")
def reading(drawer):
    return drawer.read(pollux.Part(name="prompt", kind="text"))


QUESTION = "Draw a red apple and a key."


@pytest.mark.usefixtures("wants_to_draw")
def test_text_and_pictures_in_order(drawer, reading):
    answer = drawer.ask(reading, QUESTION)
    decode, config = drawer.loaded.tokenizer.decode, drawer.loaded.config
    first, one, second, other = answer.parts
    assert first + second == answer.text and first == decode([40]).lstrip()
    assert (answer.kind, answer.finish, answer.tokens) == ("answer", "end", 2 * 67)
    for picture in (one, other):
        assert len(picture.codes) == DRAWN_CODES
        assert 0 <= min(picture.codes) and max(picture.codes) < config.image_codes
        drawn = drawer.loaded.draw(jnp.asarray([picture.codes], jnp.int32))
        np.testing.assert_array_equal(picture.pixels, drawn[0])
        assert picture.pixels.shape == (64, 64, 3)
    *pieces, last = drawer.stream(reading, QUESTION)
    assert "".join(pieces) == answer.text and last.parts == answer.parts
    assert drawer.ask_many(reading, [QUESTION] * 3)[2].parts == answer.parts


@pytest.mark.usefixtures("wants_to_draw")
def test_codes_are_sampled_by_their_seed(drawer, reading):
    answers = [
        drawer.ask(reading, QUESTION, Sampling(temperature=2.0, seed=seed)) for seed in (1, 1, 2)
    ]
    assert answers[0].parts == answers[1].parts != answers[2].parts
    assert answers[0].text == answers[2].text and len(answers[2].parts) == 4


@pytest.mark.usefixtures("wants_to_draw")
def test_a_picture_that_is_cut_is_none(drawer, reading):
    answer = drawer.ask(reading, QUESTION, Sampling(max_tokens=100))
    assert answer.finish == "max_tokens" and answer.tokens == 100
    assert [type(part) for part in answer.parts] == [str, drawing.Drawing, str]


def test_what_may_come_next(drawer):
    model, logits = drawer.loaded, np.arange(drawer.loaded.config.embeddings, dtype=np.float32)
    size, control = model.config.vocab_size, model.tokenizer.control

    def allowed(*said):
        return {*np.flatnonzero(drawing.in_turn(model, [*said], logits) > FORBIDDEN).tolist()}

    codes = {*range(size, model.config.embeddings)}
    text = {*range(size)} - {control["<end_image>"]}
    begin, some = control["<begin_image>"], [size] * DRAWN_CODES
    assert allowed() == allowed(50, 51) == text
    assert allowed(50, begin) == allowed(begin, *some[1:]) == codes
    assert allowed(50, begin, *some) == {control["<end_image>"]}
    assert allowed(50, begin, *some, control["<end_image>"]) == text


def test_parts():
    one, other = (
        drawing.Drawing(codes=(n,), pixels=np.zeros((64, 64, 3), np.uint8)) for n in range(2)
    )
    assert drawing.parts("red\nblue", [(3, one), (8, other)]) == ("red", one, "\nblue", other)
    assert drawing.parts("", [(0, one), (0, other)]) == (one, other)
    assert drawing.parts("red", [(9, one)]) == ("red", one)
    assert drawing.parts("red", []) == ("red",) and drawing.parts("", []) == ()


def test_who_cannot_draw_says_so(model, reading):
    answer = model.ask(model.read(pollux.Part(name="a", kind="text", text="red\n")), QUESTION)
    assert all(isinstance(part, str) for part in answer.parts)
    with pytest.raises(InputError, match="tiny cannot draw: name weights that can"):
        _ = model.loaded.draw
