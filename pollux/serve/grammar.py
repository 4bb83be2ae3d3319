# SPDX-License-Identifier: Apache-2.0
"""Answers held to a form: JSON of a schema, one of several words.

llguidance says which tokens may follow; among them the model chooses. So what is finished is
always valid; what the token limit cuts is not.
"""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import llguidance
import numpy as np

from pollux.engine.sampling import FORBIDDEN
from pollux.serve.errors import invalid, missing
from pollux.serve.wire import FunctionDeclaration, GenerationConfig
from pollux.tokenizer import Tokenizer

Guide = Callable[[Sequence[int], np.ndarray], np.ndarray]

FORMATS = {"date-time", "date", "time", "duration", "email", "uuid", "ipv4", "ipv6", "hostname"}
DEPTH = 32  # of a schema
SCHEMA_BYTES = 65_536
RENAMED = {"any_of": "anyOf", "min_items": "minItems", "max_items": "maxItems"}
RENAMED |= {"min_length": "minLength", "max_length": "maxLength"}
RENAMED |= {"additional_properties": "additionalProperties"}
COUNTS = ("minItems", "maxItems", "minLength", "maxLength")  # int64: strings in proto-JSON
COPIED = (*COUNTS, "enum", "required", "pattern", "minimum", "maximum")
ANY_OBJECT = {"type": "object"}


class Vocabulary:
    """Our tokens as llguidance asks for them. Control tokens are special, `<end>` is the end."""

    bos_token_id = None
    is_canonical = False

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.eos_token_id = tokenizer.control["<end>"]
        pieces = tokenizer.piece_bytes
        # A token without bytes needs some of its own; 0xff begins no text.
        self.tokens = [piece or b"\xff" + str(i).encode() for i, piece in enumerate(pieces)]
        self.special_token_ids = [i for i, piece in enumerate(pieces) if not piece]

    def __call__(self, text: bytes) -> list[int]:
        return self.tokenizer.encode(text.decode("utf-8", "replace")).tolist()


class Grammars:
    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.lock = threading.Lock()
        self.vocabulary: llguidance.LLTokenizer | None = None

    def guide(self, grammar: str) -> Guide:
        """A fresh one for each answer. ApiError where the grammar cannot be followed."""
        matcher = self._matcher(grammar)
        taken = 0

        def allowed(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
            nonlocal taken
            for token in said[taken:]:
                matcher.consume_token(int(token))
            taken = len(said)
            mask = np.frombuffer(matcher.compute_logit_bias(), np.uint8)[: len(logits)]
            return np.where(mask > 0, logits[: len(mask)], FORBIDDEN)

        return allowed

    def accepts(self, grammar: str, text: str) -> bool:
        """Whether that could be an answer. ApiError where the grammar cannot be followed."""
        matcher = self._matcher(grammar)
        return matcher.consume_tokens(self.tokenizer.encode(text).tolist()) and bool(
            matcher.is_accepting()
        )

    def _matcher(self, grammar: str) -> llguidance.LLMatcher:
        with self.lock:
            if self.vocabulary is None:
                wrapper = llguidance.TokenizerWrapper(Vocabulary(self.tokenizer))
                self.vocabulary = llguidance.LLTokenizer(wrapper)
        matcher = llguidance.LLMatcher(self.vocabulary, grammar, log_level=0)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())[:300]
            raise invalid(f"the schema cannot be followed: {reason}", "generationConfig")
        return matcher


def of_config(config: GenerationConfig) -> str | None:
    """The grammar that a request asks for; None for plain text."""
    mime = config.response_mime_type or "text/plain"
    schema = config.response_json_schema
    if config.response_schema is not None:
        if schema is not None:
            raise invalid("give responseSchema or responseJsonSchema, not both", "generationConfig")
        schema = json_schema(config.response_schema)
    if mime == "text/plain":
        if schema is not None:
            raise invalid(
                "a schema needs responseMimeType application/json or text/x.enum",
                "generationConfig.responseMimeType",
            )
        return None
    if mime == "text/x.enum":
        return of_words(schema)
    if mime == "application/json":
        return of_schema(ANY_OBJECT if schema is None else schema)
    raise missing(
        f"responseMimeType {mime[:80]!r}", "give text/plain, application/json, text/x.enum"
    )


def of_words(schema: Any) -> str:
    """One of the strings of an enum, without quotes."""
    words = schema.get("enum") if isinstance(schema, dict) else None
    if not words or not all(isinstance(word, str) and word for word in words):
        raise invalid("text/x.enum needs a schema of type STRING with enum", "generationConfig")
    options = " | ".join(json.dumps(word, ensure_ascii=False) for word in words)
    return llguidance.LLMatcher.grammar_from_lark(f"start: {options}")


def of_schema(schema: Any) -> str:
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        raise invalid("a JSON schema must be an object", "generationConfig.responseJsonSchema")
    text = json.dumps(schema)
    if len(text) > SCHEMA_BYTES:
        raise invalid(f"the schema has {len(text):,} bytes, more than {SCHEMA_BYTES:,}")
    try:
        return llguidance.LLMatcher.grammar_from_json_schema(
            text, overrides={"whitespace_flexible": False}
        )
    except ValueError as error:  # half a surrogate pair, too deep
        raise invalid(f"the schema cannot be followed: {error}", "generationConfig") from None


def parameters(declaration: FunctionDeclaration) -> dict[str, Any]:
    """The JSON schema of its arguments."""
    if declaration.parameters_json_schema is not None:
        return declaration.parameters_json_schema
    if declaration.parameters is not None:
        return json_schema(declaration.parameters)
    return {"type": "object", "properties": {}, "additionalProperties": False}


def json_schema(schema: Any, depth: int = 0) -> dict[str, Any]:
    """JSON Schema of Gemini's Schema: capital types, nullable, propertyOrdering."""
    if not isinstance(schema, dict) or depth > DEPTH:
        raise invalid(f"a schema must be an object, at most {DEPTH} levels deep", "responseSchema")
    given = {RENAMED.get(key, key): value for key, value in schema.items()}
    out = {key: given[key] for key in COPIED if given.get(key) is not None}
    out |= {key: _count(out[key]) for key in COUNTS if key in out}
    if given.get("format") in FORMATS:
        out["format"] = given["format"]
    if alternatives := given.get("anyOf"):
        out["anyOf"] = [json_schema(one, depth + 1) for one in alternatives]
    kind = str(given.get("type") or "").lower()
    if kind and kind != "type_unspecified":
        out["type"] = kind
    if kind == "object":
        out |= _object(given, depth)
    if kind == "array":
        out["items"] = json_schema(given.get("items") or {}, depth + 1)
    if given.get("nullable"):
        return {"anyOf": [out, {"type": "null"}]}
    return out


def _object(given: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = given.get("properties") or {}
    if not isinstance(properties, dict):
        raise invalid("properties must be an object", "responseSchema.properties")
    if not properties:
        return {}
    order = given.get("propertyOrdering") or given.get("property_ordering") or ()
    names = [*dict.fromkeys([*(n for n in order if n in properties), *properties])]
    return {
        "properties": {name: json_schema(properties[name], depth + 1) for name in names},
        "additionalProperties": False,
    }


def _count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise invalid(f"{str(value)[:40]!r} is no whole number", "responseSchema") from None
