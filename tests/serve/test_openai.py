# SPDX-License-Identifier: Apache-2.0
"""OpenAI's own client."""

import json

import openai
import pytest

from tests.serve.conftest import NUMBER, QUESTION


@pytest.fixture(scope="module")
def chat(server):
    with openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key="any") as client:
        yield client


@pytest.fixture
def messages(book):
    return [{"role": "system", "content": book}, {"role": "user", "content": QUESTION}]


def test_models(chat):
    assert "spark" in [model.id for model in chat.models.list()]
    assert chat.models.retrieve("spark").id == "spark"


def test_an_answer(chat, messages):
    made = chat.chat.completions.create(model="spark", messages=messages, logprobs=True)
    [choice] = made.choices
    assert NUMBER in choice.message.content and choice.finish_reason == "stop"
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    told = "".join(one.token for one in choice.logprobs.content[:-1])
    assert told.strip().lower() == choice.message.content.lower()
    cut = chat.chat.completions.create(model="spark", messages=messages, max_tokens=2)
    assert cut.choices[0].finish_reason == "length"


def test_a_stream(chat, messages):
    stream = chat.chat.completions.create(
        model="spark", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    assert NUMBER in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage.completion_tokens > 5


def test_parts_tools_and_results_are_context(chat):
    call = {"id": "c1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is the stock of pears?"}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "The stock of pears is 5150."},
    ]
    made = chat.chat.completions.create(model="spark", messages=messages)
    assert "5150" in made.choices[0].message.content


def test_a_schema(chat, messages):
    schema = {
        "type": "object",
        "properties": {"found": {"type": "boolean"}},
        "required": ["found"],
        "additionalProperties": False,
    }
    made = chat.chat.completions.create(
        model="spark",
        messages=messages,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert json.loads(made.choices[0].message.content)["found"] in (True, False)


def test_a_call_that_is_required(chat):
    function = {
        "name": "ring",
        "parameters": {
            "type": "object",
            "properties": {"loud": {"type": "boolean"}},
            "required": ["loud"],
            "additionalProperties": False,
        },
    }
    made = chat.chat.completions.create(
        model="spark",
        messages=[{"role": "user", "content": "Ring the bell!"}],
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
    )
    [call] = made.choices[0].message.tool_calls
    assert call.function.name == "ring"
    assert json.loads(call.function.arguments)["loud"] in (True, False)
    assert made.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("parallel", "names"), [(None, ["lock_door", "set_volume"]), (False, ["lock_door"])]
)
def test_calls_at_once(chat, parallel, names):
    declared = [
        {"name": "lock_door", "description": "Lock the door."},
        {
            "name": "set_volume",
            "description": "Change the volume of a device.",
            "parameters": {"type": "object", "properties": {"level": {"type": "integer"}}},
        },
    ]
    more = {} if parallel is None else {"parallel_tool_calls": parallel}
    ask = {
        "model": "spark",
        "messages": [{"role": "user", "content": "Lock the door and set the volume to 40"}],
        "tools": [{"type": "function", "function": function} for function in declared],
        **more,
    }
    made = chat.chat.completions.create(**ask)
    calls = made.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == names
    assert json.loads(calls[-1].function.arguments) == ({"level": 40} if len(names) > 1 else {})
    *_, last = (chunk.choices[0] for chunk in chat.chat.completions.create(**ask, stream=True))
    assert [call.function.name for call in last.delta.tool_calls] == names
    assert [call.index for call in last.delta.tool_calls] == [*range(len(names))]


def test_errors_are_of_its_kind(chat):
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        chat.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.BadRequestError, match="messages"):
        chat.chat.completions.create(model="spark", messages=[])
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(openai.InternalServerError, match="opens none"):
        chat.chat.completions.create(
            model="spark", messages=[{"role": "user", "content": [picture]}]
        )
