# SPDX-License-Identifier: Apache-2.0
"""generateContent, streams, chats and counts, as the google-genai SDK asks for them."""

import io
import json
from pathlib import Path

import pytest
from google.genai import errors, types
from PIL import Image, ImageDraw, ImageFont

from pollux.data import art
from tests.serve.conftest import FACT, NUMBER, QUESTION, asked

URL = "/v1beta/models/spark:generateContent"


def test_finds_the_needle_and_cites_it(client, book):
    response = client.models.generate_content(model="spark", contents=[book, QUESTION])
    assert NUMBER in response.text
    [candidate] = response.candidates
    assert candidate.finish_reason == types.FinishReason.STOP
    line = book[: book.index(FACT)].count("\n")
    [chunk, *_] = candidate.grounding_metadata.grounding_chunks
    assert chunk.retrieved_context.title == "user 1"
    assert chunk.retrieved_context.uri == f"user 1#line={line},{line + 1}"
    assert "4711023" in chunk.retrieved_context.text
    [support] = candidate.grounding_metadata.grounding_supports
    assert support.segment.text == response.text
    [citation, *_] = candidate.citation_metadata.citations
    assert (citation.title, citation.end_index) == ("user 1", len(response.text))


def test_place_of_a_source_in_bytes(http, book):
    found = http.post(URL, json=asked(book, QUESTION)).json()["candidates"][0]
    place = found["groundingMetadata"]["groundingChunks"][0]["retrievedContext"]["place"]
    quoted = book.encode()[place["startByte"] : place["endByte"]].decode()
    assert "4711023" in FACT and quoted.strip() in FACT
    assert place["line"] == book[: book.index(FACT)].count("\n") + 1


def test_what_was_read_is_not_read_again(client):
    text = "The access code for Oslo is 118. " * 30
    first, second = (
        client.models.generate_content(model="spark", contents=[text, question])
        for question in ("What is the access code for Oslo?", "What is the code for Oslo?")
    )
    assert first.usage_metadata.cached_content_token_count is None
    usage = second.usage_metadata
    assert usage.cached_content_token_count > 100
    assert usage.cached_content_token_count < usage.prompt_token_count
    [detail] = usage.prompt_tokens_details
    assert (detail.modality, detail.token_count) == ("TEXT", usage.prompt_token_count)
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count


def test_counting_agrees_with_asking(client, book):
    counted = client.models.count_tokens(model="spark", contents=[book, QUESTION])
    usage = client.models.generate_content(model="spark", contents=[book, QUESTION]).usage_metadata
    assert counted.total_tokens == usage.prompt_token_count


def test_stream_gives_the_same_text(client, book):
    chunks = list(client.models.generate_content_stream(model="spark", contents=[book, QUESTION]))
    assert len(chunks) > 3
    whole = client.models.generate_content(model="spark", contents=[book, QUESTION])
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert all(chunk.candidates[0].content.parts for chunk in chunks)
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]
    assert chunks[-1].candidates[0].grounding_metadata.grounding_chunks
    assert len({chunk.response_id for chunk in chunks}) == 1


def test_stream_without_sse_is_one_array(http, book):
    url = "/v1/models/spark:streamGenerateContent"
    chunks = http.post(url, json=asked(book, QUESTION)).json()
    texts = [c["candidates"][0]["content"]["parts"][0]["text"] for c in chunks]
    assert NUMBER in "".join(texts)


def test_chat_keeps_its_history(client, book):
    chat = client.chats.create(model="spark")
    assert NUMBER in chat.send_message([book, QUESTION]).text
    pieces = list(chat.send_message_stream("What is the access code for Atlantis?"))
    assert pieces[-1].candidates[0].finish_reason == types.FinishReason.STOP
    streamed = chat.get_history(curated=True)[3:]
    assert "".join(one.parts[0].text for one in streamed) == "".join(p.text for p in pieces)
    assert NUMBER in chat.send_message(QUESTION).text


def test_system_instruction_and_earlier_turns_are_context(client):
    response = client.models.generate_content(
        model="spark",
        contents="What is the access code for Lima?",
        config={"system_instruction": "The access code for Lima is 90817."},
    )
    assert "90817" in response.text


def test_a_prompt_of_one_text_is_divided(client, book):
    one = client.models.generate_content(model="spark", contents=f"{book}\n\n{QUESTION}")
    assert NUMBER in one.text


def test_nothing_to_read_is_said(client):
    response = client.models.generate_content(model="spark", contents="Write a poem on rain.")
    assert response.text
    assert response.candidates[0].finish_reason == types.FinishReason.STOP


def test_sampling_settings(client, book):
    config = types.GenerateContentConfig(
        temperature=2.0, top_p=0.95, top_k=40, seed=7, candidate_count=2, max_output_tokens=12
    )
    first, second = (
        client.models.generate_content(model="spark", contents=[book, QUESTION], config=config)
        for _ in range(2)
    )
    texts = [
        [one.content.parts[0].text for one in response.candidates] for response in (first, second)
    ]
    assert texts[0] == texts[1]
    assert [one.index for one in first.candidates] == [0, 1]
    assert first.usage_metadata.candidates_token_count <= 24


def test_ends_for_a_reason(client, book):
    def ask(**config):
        return client.models.generate_content(
            model="spark", contents=[book, QUESTION], config=config
        ).candidates[0]

    cut = ask(max_output_tokens=3)
    assert cut.finish_reason == types.FinishReason.MAX_TOKENS
    stopped = ask(stop_sequences=["Reykjavik"])
    assert stopped.finish_reason == types.FinishReason.STOP
    assert stopped.content.parts[0].text.strip() == "The special magic"


def test_probabilities_of_tokens(client, book):
    config = {"response_logprobs": True, "logprobs": 3}
    response = client.models.generate_content(
        model="spark", contents=[book, QUESTION], config=config
    )
    result = response.candidates[0].logprobs_result
    told = "".join(one.token for one in result.chosen_candidates[:-1])
    assert told.strip().lower() == response.text.lower()
    assert all(len(one.candidates) == 3 for one in result.top_candidates)
    mean = sum(one.log_probability for one in result.chosen_candidates)
    mean /= len(result.chosen_candidates)
    assert response.candidates[0].avg_logprobs == pytest.approx(mean)


def test_penalties_forbid_repeating(client):
    text = "The access code for Quito is 7777777."
    config = {"frequency_penalty": 2.0, "presence_penalty": 2.0, "max_output_tokens": 40}
    ask = {"model": "spark", "contents": [text, "What is the access code for Quito?"]}
    plain = client.models.generate_content(**ask).text
    penalised = client.models.generate_content(**ask, config=config).text
    assert penalised != plain


def test_snake_and_camel_case_are_one(http, book):
    camel = asked(book, QUESTION, generationConfig={"maxOutputTokens": 4})
    snake = asked(book, QUESTION, generation_config={"max_output_tokens": 4})
    first, second = (http.post(URL, json=body).json() for body in (camel, snake))
    assert first["candidates"] == second["candidates"]
    assert first["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_single_objects_stand_for_lists(http):
    body = {
        "systemInstruction": {"parts": {"text": "The access code for Lima is 90817."}},
        "contents": {"parts": {"text": "What is the access code for Lima?"}},
    }
    found = http.post(URL, json=body).json()
    assert "90817" in found["candidates"][0]["content"]["parts"][0]["text"]


def test_function_responses_are_context(client):
    contents = [
        types.Content(role="user", parts=[types.Part(text="What is the stock of pears?")]),
        types.Content(
            role="model",
            parts=[types.Part.from_function_call(name="look_up", args={"of": "pears"})],
        ),
        types.Content(
            role="user",
            parts=[
                types.Part.from_function_response(
                    name="look_up", response={"result": "The stock of pears is 5150."}
                )
            ],
        ),
    ]
    assert "5150" in client.models.generate_content(model="spark", contents=contents).text


@pytest.mark.parametrize(
    "config",
    [
        {"tools": [{"google_search": {}}]},
        {"tools": [{"url_context": {}}]},
        {"speech_config": {"language_code": "en-US"}},
    ],
)
def test_what_is_left_out_is_said(client, config):
    with pytest.raises(errors.ServerError) as raised:
        client.models.generate_content(model="spark", contents="Hello?", config=config)
    assert raised.value.code == 501
    assert raised.value.status == "UNIMPLEMENTED"


def test_damaged_pictures_and_sound_are_refused_by_name(client):
    picture = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n" + bytes(99), mime_type="image/png")
    with pytest.raises(errors.ClientError, match="message': 'user 1.png is cut short or damaged"):
        client.models.generate_content(model="spark", contents=[picture, "What is it?"])
    sound = types.Part.from_bytes(data=b"OggS" + bytes(99), mime_type="audio/ogg")
    with pytest.raises(errors.ClientError, match="message': 'user 1"):
        client.models.generate_content(model="spark", contents=[sound, "What is said?"])


def test_writing_on_a_picture_is_read(client):
    drawn, held = Image.new("RGB", (640, 128), "navy"), io.BytesIO()
    font = ImageFont.truetype(art.plain_face(), 24)
    ImageDraw.Draw(drawn).text((20, 40), "The access code for Lima is 90817.", "white", font)
    drawn.save(held, "PNG")
    picture = types.Part.from_bytes(data=held.getvalue(), mime_type="image/png")
    asked = [picture, "What is the access code for Lima?"]
    assert "90817" in client.models.generate_content(model="spark", contents=asked).text


def test_speech_is_heard(client):
    clip = Path(__file__).parents[1] / "engine" / "clips" / "keyword-reporter.opus"
    sound = types.Part.from_bytes(data=clip.read_bytes(), mime_type="audio/ogg")
    asked = [sound, "What is the secret keyword?"]
    response = client.models.generate_content(model="spark", contents=asked)
    assert "reporter" in response.text
    details = {d.modality.value: d for d in response.usage_metadata.prompt_tokens_details}
    assert details["AUDIO"].token_count > 5
    counted = client.models.count_tokens(model="spark", contents=asked)
    assert counted.total_tokens == response.usage_metadata.prompt_token_count


def test_inline_text_is_read_under_its_name(http):
    data = "VGhlIGFjY2VzcyBjb2RlIGZvciBMaW1hIGlzIDkwODE3Lg"  # no padding
    blob = {"mimeType": "text/plain", "data": data, "displayName": "codes.txt"}
    parts = [{"inline_data": blob}, {"text": "What is the access code for Lima?"}]
    found = http.post(URL, json={"contents": [{"parts": parts}]}).json()["candidates"][0]
    assert "90817" in found["content"]["parts"][0]["text"]
    assert found["citationMetadata"]["citationSources"][0]["title"] == "codes.txt"


def test_too_long_is_refused_with_both_counts(client, http):
    with pytest.raises(errors.ClientError, match=r"2\d,\d{3} tokens, more than the 20,000"):
        client.models.generate_content(model="spark", contents=["a b c d\n" * 5_000, "What is a?"])
    long = asked("7" * 17_000 + "?")
    error = http.post(URL, json=long).json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert "16,384" in error["message"]


def test_aliases_are_the_model(client):
    assert {"models/spark", "models/gemini-2.5-flash"} == {m.name for m in client.models.list()}
    assert client.models.get(model="gemini-2.5-flash").input_token_limit == 20_000
    response = client.models.generate_content(model="gemini-2.5-flash", contents="What is a?")
    assert response.model_version == "spark"


def test_json_keeps_to_its_schema(client, book):
    schema = {
        "type": "OBJECT",
        "properties": {
            "tags": {"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": "3"},
            "city": {"type": "STRING", "enum": ["Reykjavik", "Oslo"]},
        },
        "required": ["city", "tags"],
        "propertyOrdering": ["city", "tags"],
    }
    config = {"response_mime_type": "application/json", "response_schema": schema}
    response = client.models.generate_content(
        model="spark", contents=[book, QUESTION], config=config
    )
    if response.candidates[0].finish_reason == types.FinishReason.STOP:
        made = json.loads(response.text)
        assert list(made) == ["city", "tags"]
        assert made["city"] in ("Reykjavik", "Oslo")
    assert response.text.startswith('{"city":"')


def test_one_of_several_words(client, book):
    config = {
        "response_mime_type": "text/x.enum",
        "response_schema": {"type": "STRING", "enum": ["yes", "no"]},
    }
    response = client.models.generate_content(
        model="spark", contents=[book, "Is there a number?"], config=config
    )
    assert response.text in ("yes", "no")


def book_table(guests: int, late: bool) -> str:
    """Books a table."""
    return f"{guests} {late}"


def test_a_call_where_one_is_wanted(client):
    config = types.GenerateContentConfig(
        tools=[book_table],
        tool_config={"function_calling_config": {"mode": "ANY"}},
        automatic_function_calling={"disable": True},
        max_output_tokens=64,
    )
    response = client.models.generate_content(
        model="spark", contents="Book a table for 4 guests, is it late?", config=config
    )
    [candidate] = response.candidates
    assert candidate.finish_reason == types.FinishReason.STOP
    [call] = response.function_calls
    assert call.name == "book_table"
    assert call.args["guests"] == 4 and isinstance(call.args["late"], bool)


def test_several_calls_in_one_answer(client):
    made = []

    def lock_door() -> str:
        """Lock the door."""
        made.append("locked")
        return "locked"

    def set_volume(level: int) -> str:
        """Change the volume of a device."""
        made.append(level)
        return f"the volume is {level}"

    config = types.GenerateContentConfig(tools=[lock_door, set_volume])
    response = client.models.generate_content(
        model="spark", contents="Please lock the door. Then set the volume to 40.", config=config
    )
    assert made == ["locked", 40]
    assert "locked" in response.text


def test_what_a_call_lacks_is_asked_for(client):
    def set_volume(level: int) -> str:
        """Change the volume of a device."""
        raise AssertionError("it is not called")

    config = types.GenerateContentConfig(tools=[set_volume])
    response = client.models.generate_content(
        model="spark", contents="Please set the volume of the radio.", config=config
    )
    assert response.text == "To set volume I need to know: level."


def test_functions_that_need_not_be_called(client):
    ask = {
        "model": "spark",
        "contents": ["The access code for Lima is 90817.", "What is the access code for Lima?"],
    }
    response = client.models.generate_content(**ask, config={"tools": [book_table]})
    assert "90817" in response.text


def test_settings_without_effect(http):
    plain = asked("The access code for Lima is 90817.", "What is the access code for Lima?")
    config = {"thinkingConfig": {"thinkingBudget": 9}, "mediaResolution": "MEDIA_RESOLUTION_LOW"}
    more = {"generationConfig": config, "labels": {"a": "b"}, "serviceTier": "x", "store": True}
    first, second = (http.post(URL, json=body).json() for body in (plain, plain | more))
    assert "90817" in first["candidates"][0]["content"]["parts"][0]["text"]
    assert first["candidates"] == second["candidates"]
