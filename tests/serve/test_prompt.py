# SPDX-License-Identifier: Apache-2.0
"""Which of a request is context and which the question; the wire's two spellings; grammars."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pollux.serve import grammar, wire
from pollux.serve.errors import ApiError
from pollux.serve.prompt import decoded, divided
from pollux.serve.tools import _penalised
from pollux.tokenizer import Tokenizer

LONG = "It rained. " * 60


@pytest.mark.parametrize(
    ("text", "alone", "context", "question"),
    [
        ("What is a?", True, "", "What is a?"),
        ("The code is 5. What is the code?", True, "The code is 5.", "What is the code?"),
        ("The code is 5. What is the code?", False, "", "The code is 5. What is the code?"),
        ("What is Mr. Smith's code?", True, "", "What is Mr. Smith's code?"),
        ("密码是五。密码是什么？", True, "密码是五。", "密码是什么？"),
        ("What is a? Answer briefly.", True, "", "What is a? Answer briefly."),
        ("a is 5\nWhat is a?", True, "a is 5", "What is a?"),
        ("What is a?\na is 5", True, "a is 5", "What is a?"),
        ("a is 5\nTell me a.", True, "a is 5", "Tell me a."),
        ("Tell me a.\nBe brief.", False, "", "Tell me a.\nBe brief."),
        (f"{LONG}\n\nWhat is a? Be brief.\n\nHere it is:\n", False, None, "What is a? Be brief."),
        (f"What is a?\n{LONG}", False, LONG, "What is a?"),
    ],
)
def test_one_text_is_divided(text, alone, context, question):
    found = divided(text, alone)
    assert found[1] == question
    assert context is None or found[0] == context
    assert context is not None or "Here it is" in found[0]


@given(st.text(), st.booleans())
def test_dividing_loses_no_word(text, alone):
    context, question = divided(text, alone) if text.strip() else ("", text)
    assert sorted((context + " " + question).split()) == sorted(text.split())


@given(st.binary(max_size=99), st.booleans(), st.booleans())
def test_base64_in_all_its_forms(data, safe, padded):
    import base64

    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(data).decode()
    assert decoded(text if padded else text.rstrip("="), "x") == data


def test_both_spellings_and_nothing_else():
    camel = wire.Part.model_validate({"fileData": {"fileUri": "files/x", "mimeType": "a/b"}})
    snake = wire.Part.model_validate({"file_data": {"file_uri": "files/x", "mime_type": "a/b"}})
    assert camel == snake
    dumped = camel.model_dump(by_alias=True, exclude_none=True)
    assert dumped == {"fileData": {"fileUri": "files/x", "mimeType": "a/b"}}
    with pytest.raises(ValidationError):
        wire.Part.model_validate({"FileData": {}})
    call = {"name": "f", "args": {"snake_key": 1, "camelKey": {"a_b": 2}}}
    assert wire.FunctionCall.model_validate(call).args == call["args"]


def test_gemini_schemas_become_json_schemas():
    made = grammar.json_schema(
        {
            "type": "OBJECT",
            "title": "left out",
            "properties": {
                "b": {"type": "STRING", "nullable": True, "max_length": "4"},
                "a": {"any_of": [{"type": "INTEGER"}, {"type": "NULL"}]},
            },
            "property_ordering": ["a", "b"],
            "required": ["a"],
        }
    )
    assert list(made["properties"]) == ["a", "b"]
    assert made["properties"]["a"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    text = {"maxLength": 4, "type": "string"}
    assert made["properties"]["b"] == {"anyOf": [text, {"type": "null"}]}
    deep: dict = {"type": "STRING"}
    for _ in range(40):
        deep = {"type": "ARRAY", "items": deep}
    with pytest.raises(ApiError, match="32 levels"):
        grammar.json_schema(deep)


@pytest.fixture(scope="module")
def grammars():
    return grammar.Grammars(Tokenizer.load())


def drawn(grammars, form, seed, most=400):
    """Text of tokens drawn at random among those allowed; None when it did not end."""
    guide, said = grammars.guide(form), []
    rng = np.random.default_rng(seed)
    tokenizer = grammars.tokenizer
    favoured = np.isin(np.arange(tokenizer.vocab_size), tokenizer.encode('"}],0')).astype(float)
    for _ in range(most):
        logits = guide(said, rng.normal(size=tokenizer.vocab_size) + 8 * favoured)
        token = int(logits.argmax())
        assert logits[token] > grammar.FORBIDDEN
        if token == tokenizer.control["<end>"]:
            return tokenizer.decode(said)
        said.append(token)
    return None


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "sizes": {"type": "array", "items": {"type": "number"}, "minItems": 1},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["name", "sizes", "kind"],
    "additionalProperties": False,
}


def test_whatever_the_model_wants_the_json_is_valid(grammars):
    finished = [drawn(grammars, grammar.of_schema(SCHEMA), seed) for seed in range(20)]
    made = [json.loads(text) for text in finished if text is not None]
    assert len(made) > 10
    for one in made:
        assert isinstance(one["name"], str) and one["kind"] in ("a", "b")
        assert one["sizes"] and all(isinstance(size, int | float) for size in one["sizes"])


def test_one_of_the_words(grammars):
    words = grammar.of_words({"type": "string", "enum": ["to be", "not to be", "né"]})
    assert {drawn(grammars, words, seed) for seed in range(20)} <= {"to be", "not to be", "né"}


@pytest.mark.parametrize("schema", [{"type": "nothing"}, {"$ref": "#/nowhere"}, {"pattern": "("}])
def test_schemas_that_cannot_be_followed(grammars, schema):
    with pytest.raises(ApiError, match="cannot be followed"):
        grammars.guide(grammar.of_schema(schema | {"minLength": 0}))


def test_penalties_count_what_was_said():
    logits = _penalised(0.5, 0.25)([1, 1, 3], np.zeros(5))
    assert logits.tolist() == [0.0, -1.0, 0.0, -0.75, 0.0]
