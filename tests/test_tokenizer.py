# SPDX-License-Identifier: Apache-2.0
"""Text survives its tokens, whatever it is, and lines do not touch each other."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from pollux import prompt
from pollux.errors import WeightsError
from pollux.tokenizer import CONTROL, SPACE, Tokenizer, bytes_per_token, train_tokenizer

TOKENIZER = Tokenizer.load()
# What goes wrong in tokenizers, more often than random characters would have it.
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["\n", "\t", "\r\n", "\0", " ", "      ", SPACE, " " + SPACE, "\u2028"]),
    st.sampled_from(["\U0001f600", "\U0001f468\u200d\U0001f469", "e\u0301", "戰爭", "ﬁ", "ⅷ"]),
    st.sampled_from(["the needle", "def f(x):", "12345", "<0x0A>", "<unk>", "</s>", *CONTROL]),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


@given(TEXTS)
def test_round_trip(text):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert ids.dtype == np.int32
    assert all(0 <= i < TOKENIZER.vocab_size for i in ids)


@given(TEXTS)
def test_byte_lengths_are_those_of_the_text(text):
    assert TOKENIZER.byte_lengths[TOKENIZER.encode(text)].sum() == len(text.encode())


@given(TEXTS)
def test_no_control_token_comes_from_text(text):
    assert not set(TOKENIZER.encode(text).tolist()) & set(TOKENIZER.control.values())


@given(TEXTS)
def test_every_newline_is_a_token(text):
    assert (TOKENIZER.encode(text) == TOKENIZER.newline).sum() == text.count("\n")


@given(st.lists(TEXTS, max_size=4))
def test_lines_are_tokenized_alone(parts):
    """So a line spliced in, changed or taken out leaves the tokens of the others as they were."""
    lines = "\n".join(parts).split("\n")
    alone = [TOKENIZER.encode(line + "\n") for line in lines]
    whole = TOKENIZER.encode("".join(line + "\n" for line in lines))
    assert np.array_equal(whole, np.concatenate(alone))


@given(st.text(st.characters(), max_size=8), st.sampled_from(["\ud800", "\udfff", "\udc80x\udfff"]))
def test_lone_surrogates_become_question_marks(text, surrogates):
    written = (text + surrogates).encode("utf-8", "replace").decode()
    assert TOKENIZER.decode(TOKENIZER.encode(text + surrogates)) == written


def test_empty_text():
    assert TOKENIZER.encode("").shape == (0,)
    assert TOKENIZER.decode([]) == ""


def test_ids():
    assert TOKENIZER.vocab_size <= 2**16  # stored as uint16
    assert TOKENIZER.control["<pad>"] == 0
    assert sorted(TOKENIZER.control.values()) == [*range(len(CONTROL))]
    assert TOKENIZER.decode([TOKENIZER.newline]) == "\n"
    assert TOKENIZER.byte_lengths.shape == (TOKENIZER.vocab_size,)


def test_control_and_foreign_ids_decode_to_nothing():
    silent = [*TOKENIZER.control.values(), TOKENIZER.processor.unk_id()]
    assert TOKENIZER.decode([*silent, -1, TOKENIZER.vocab_size, 2**31]) == ""
    assert not TOKENIZER.byte_lengths[silent].any()


def test_digits_stand_alone():
    assert len(TOKENIZER.encode("90125")) == 5


@given(st.text(max_size=20), st.text(max_size=20))
def test_prompts(name, text):
    header = prompt.part_header(TOKENIZER, name)
    assert header[0] == TOKENIZER.control["<part>"]
    assert TOKENIZER.decode(header) == name.replace("\n", " ") + "\n"
    question = prompt.question(TOKENIZER, text)
    assert question[0] == TOKENIZER.control["<question>"]
    assert question[-1] == TOKENIZER.control["<answer>"]
    assert TOKENIZER.decode(question) == text.strip()


def test_damaged_and_missing(tmp_path):
    with pytest.raises(WeightsError, match="no tokenizer at"):
        Tokenizer.load(tmp_path / "missing.model")
    for junk in (b"", b"no model at all"):
        (tmp_path / "junk.model").write_bytes(junk)
        with pytest.raises(WeightsError, match="tokenizer damaged.*install") as raised:
            Tokenizer.load(tmp_path / "junk.model")
        assert "\n" not in str(raised.value)


def test_tokenizer_of_another_program(tmp_path):
    with (tmp_path / "foreign.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["some words", "some more"]),
            model_writer=file,
            vocab_size=12,
            minloglevel=2,
        )
    with pytest.raises(WeightsError, match="another program"):
        Tokenizer.load(tmp_path / "foreign.model")


def test_trained_tokenizer_keeps_the_rules(tmp_path):
    lines = Path(__file__).read_text("utf-8").splitlines(keepends=True)
    train_tokenizer(lines, 800, tmp_path / "a.model", threads=1)
    train_tokenizer(lines, 800, tmp_path / "b.model", threads=1)
    made = Tokenizer.load(tmp_path / "a.model")
    assert made.fingerprint == Tokenizer.load(tmp_path / "b.model").fingerprint
    assert made.fingerprint != TOKENIZER.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.model", "b.model"]
    text = "  the fox\t12\n\n<part> \U0001f600" + SPACE
    assert made.decode(made.encode(text)) == text
    assert sorted(made.control.values()) == [*range(len(CONTROL))]
    assert len(made.encode("é“”")) == 3  # a piece each, though rare
    assert 1 < bytes_per_token(made, ["assert made.decode(made.encode(text)) == text"]) < 6
