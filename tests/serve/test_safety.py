# SPDX-License-Identifier: Apache-2.0
"""safetySettings: what words are rated, what is blocked, and how clients are told."""

import pytest
from google.genai import types

from pollux.examples import war_and_peace
from pollux.serve import reply, safety, wire
from pollux.serve.safety import HARASSMENT, HATE, SEXUAL
from tests.serve.conftest import asked

URL = "/v1beta/models/spark:generateContent"
WORD = "The access word for Lima is motherfucker."
ASK = "What is the access word for Lima?"
LOOSE, OFF = "BLOCK_ONLY_HIGH", "OFF"


def settings(threshold, *names):
    return [
        {"category": f"HARM_CATEGORY_{name}", "threshold": threshold}
        for name in names or (*safety.CATEGORIES, "DANGEROUS_CONTENT", "CIVIC_INTEGRITY")
    ]


def thresholds(*given):
    return safety.thresholds([wire.SafetySetting.model_validate(one) for one in given])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The prince entered the hall.", {}),
        ("An assassin of his class in Scunthorpe passed the cocktail.", {}),
        ("CHAPTER XXX. He was tied up; a hard core of them had escorted her.", {}),
        ("You stupid ass", {HARASSMENT: 1}),
        ("What the f.u.c.k is this sh1t", {HARASSMENT: 1, SEXUAL: 1}),
        ("the cock crowed", {SEXUAL: 1}),
        ("you motherfucker", {HARASSMENT: 2}),
        ("You MOTHERFUCKER, you cunt", {HARASSMENT: 3}),
        ("all the wetbacks and every wetback", {HATE: 2}),
        ("free hentai porn", {SEXUAL: 3}),
        ("你妈妈今天好吗？成人性教育的激情", {}),
        ("妈的，又下雨了", {HARASSMENT: 1}),
        ("操你妈", {HARASSMENT: 2}),
    ],
)
def test_levels(text, expected):
    assert safety.levels(text) == dict.fromkeys(safety.CATEGORIES, 0) | expected


def test_a_novel_is_not_blocked():
    text = war_and_peace().text[:60_000]
    sentences = [one for one in text.replace("\n", " ").split(". ") if len(one) > 20]
    assert len(sentences) > 400
    blocked = [one for one in sentences if safety.is_blocked(safety.levels(one), thresholds())]
    assert not blocked


def test_thresholds():
    default = thresholds()
    assert default == {HARASSMENT: 2, HATE: 2, SEXUAL: 2}
    assert thresholds(*settings("HARM_BLOCK_THRESHOLD_UNSPECIFIED")) == default
    assert set(thresholds(*settings("BLOCK_NONE")).values()) == {safety.OFF}
    two = [*settings("BLOCK_LOW_AND_ABOVE", HATE), *settings(LOOSE, SEXUAL)]
    assert thresholds(*two) == {HARASSMENT: 2, HATE: 1, SEXUAL: 3}


def test_what_is_asked_is_blocked(client, http):
    question = "Where does he say motherfucker?"
    response = client.models.generate_content(model="spark", contents=["He said it.", question])
    assert not response.candidates
    assert response.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    told = {one.category: one for one in response.prompt_feedback.safety_ratings}
    rating = told[types.HarmCategory.HARM_CATEGORY_HARASSMENT]
    assert (rating.probability, rating.blocked) == (types.HarmProbability.MEDIUM, True)
    assert response.usage_metadata.prompt_token_count > 5
    url = "/v1/models/spark:streamGenerateContent"
    [chunk] = http.post(url, json=asked("He said it.", question)).json()
    assert chunk["promptFeedback"]["blockReason"] == "SAFETY"
    assert "candidates" not in chunk


@pytest.mark.parametrize("threshold", ["BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"])
def test_what_is_allowed_is_answered(client, threshold):
    response = client.models.generate_content(
        model="spark",
        contents=[WORD, ASK],
        config={"safety_settings": settings(threshold)},
    )
    assert "motherfucker" in response.text
    ratings = response.candidates[0].safety_ratings
    if threshold == "BLOCK_ONLY_HIGH":
        assert [one.probability.name for one in ratings] == ["MEDIUM", "NEGLIGIBLE", "NEGLIGIBLE"]
        assert not any(one.blocked for one in ratings)
    else:
        assert not ratings


def test_an_answer_is_blocked(client):
    response = client.models.generate_content(model="spark", contents=[WORD, ASK])
    [candidate] = response.candidates
    assert candidate.finish_reason == types.FinishReason.SAFETY
    assert not response.text
    assert candidate.safety_ratings[0].blocked
    assert not candidate.grounding_metadata and not candidate.citation_metadata


def test_a_stream_ends_before_the_word(client):
    chat = client.chats.create(model="spark")
    chunks = list(chat.send_message_stream([WORD, ASK]))
    told = "".join(chunk.text or "" for chunk in chunks)
    assert "mother" not in told
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.SAFETY


def test_openai_is_told_too(http):
    body = {"model": "spark", "messages": [{"role": "user", "content": f"{WORD}\n{ASK}"}]}
    url = "/openai/v1/chat/completions"
    [choice] = http.post(url, json=body).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "")
    body["messages"][0]["content"] = "Where is the motherfucker?"
    [choice] = http.post(url, json=body).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", "")
    streamed = http.post(url, json=body | {"stream": True}).text
    assert '"finish_reason": "content_filter"' in streamed


def test_a_guard_holds_back_only_the_last_word():
    guard = safety.Guard(thresholds())
    assert [guard.passed(piece) for piece in ("The ", "moth", "er of", " the ")] == [
        "The ",
        "",
        "mother ",
        "of the ",
    ]
    assert guard.passed("motherf") == ""
    assert guard.passed("ucker ") is None
    free = safety.Guard(thresholds(*settings(OFF)))
    assert free.passed("motherfucker ") == "motherfucker "


def test_calls_are_looked_through_too():
    call = wire.FunctionCall(name="say", args={"word": "motherfucker"})
    content = wire.Content(role="model", parts=[wire.Part(function_call=call)])
    candidate = reply.Candidate(content=content, finish_reason="STOP")
    assert safety.judged(candidate, thresholds()).finish_reason == "SAFETY"
    loose = thresholds(*settings(LOOSE))
    assert safety.judged(candidate, loose).content == content
