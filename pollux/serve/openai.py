# SPDX-License-Identifier: Apache-2.0
"""OpenAI's chat completions, translated to generateContent and back."""

import json
import re
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.responses import Response

from pollux.serve import errors, reply, wire
from pollux.serve.errors import ApiError, invalid, missing, of_validation
from pollux.serve.generate import Event, Exchange, Text, told
from pollux.serve.hub import HubOf
from pollux.serve.reply import JsonReply, Stream, encoded

DATA = re.compile(r"data:([^;,]{0,100})(?:;[^;,]{0,100})*;base64,(.*)", re.DOTALL)
FINISHED = {"STOP": "stop", "MAX_TOKENS": "length"}
TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
TYPES |= {404: "invalid_request_error", 429: "rate_limit_error"}
PREFIXES = {"system": "system", "developer": "system", "user": "user", "assistant": "model"}


class Failure(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class Failed(BaseModel):
    error: Failure


# What a prompt gets that is not answered.
BLOCKED = reply.Candidate(content=wire.Content(role="model"), finish_reason="SAFETY")

router = APIRouter(tags=["OpenAI"])


class Sent(BaseModel):
    model_config = ConfigDict(extra="ignore")  # OpenAI's clients send much that means nothing here


class FunctionOf(Sent):
    name: str
    arguments: str = "{}"
    description: str | None = None
    parameters: wire.Json | None = None


class ToolCall(Sent):
    function: FunctionOf
    id: str | None = None


class Message(Sent):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[wire.Json] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ToolOf(Sent):
    type: Literal["function"]
    function: FunctionOf


class StreamOptions(Sent):
    include_usage: bool = False


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class ChatRequest(Sent):
    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    n: int | None = Field(None, ge=1, le=8)
    stop: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    seed: int | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: wire.Json | None = None
    tools: list[ToolOf] | None = None
    tool_choice: str | wire.Json | None = None
    parallel_tool_calls: bool | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @property
    def most_calls(self) -> int | None:
        return 1 if self.parallel_tool_calls is False else None


@router.get("/models")
def list_models(hub: HubOf) -> dict[str, Any]:
    names = [hub.model_name, *hub.settings.aliases]
    return {"object": "list", "data": [_model(name) for name in names]}


@router.get("/models/{model}")
def get_model(hub: HubOf, model: str) -> dict[str, Any]:
    hub.check_model(model)
    return _model(model)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "pollux"}


@router.post("/chat/completions")
async def complete(hub: HubOf, request: Request, body: ChatRequest) -> Response:
    """One answer to a conversation, at once or as it comes (stream)."""
    hub.check_model(body.model)
    exchange, made = Exchange(hub), int(time.time())
    asked = translated(body)
    about = {"id": f"chatcmpl-{exchange.response_id}", "created": made, "model": body.model}
    if not body.stream:
        response = await exchange.whole(request, asked)
        choices = [_choice(one, body.most_calls) for one in response.candidates or (BLOCKED,)]
        usage = _usage(response.usage_metadata)
        return JsonReply({**about, "object": "chat.completion", "choices": choices, "usage": usage})
    coming = exchange.events(request, asked)
    first = await anext(coming)  # what is wrong with a request is told before the answer begins
    about["object"] = "chat.completion.chunk"
    told_usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = _chunks(exchange, first, coming, about, told_usage, body.most_calls)
    return Stream(chunks, "text/event-stream")


async def _chunks(
    exchange: Exchange,
    first: Event,
    rest: AsyncGenerator[Event],
    about: dict[str, Any],
    usage: bool,
    most_calls: int | None,
) -> AsyncGenerator[bytes]:
    begun: set[int] = set()

    def chunk(event: Event) -> bytes:
        if isinstance(event, reply.PromptFeedback):
            event = BLOCKED
        event = event if isinstance(event, Text) else exchange.unsaid(event)
        choice = _delta(event, event.index not in begun, most_calls)
        begun.add(event.index)
        return _event({**about, "choices": [choice], **({"usage": None} if usage else {})})

    try:
        yield chunk(first)
        async for event in rest:
            yield chunk(event)
        if usage:
            counted = exchange.response([]).usage_metadata
            yield _event({**about, "choices": [], "usage": _usage(counted)})
    except Exception as error:
        told(error)
        yield _event(error_body(errors.of(error)))
    finally:
        await rest.aclose()
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + encoded(value) + b"\n\n"


def _message(parts: list[wire.Part], most_calls: int | None) -> dict[str, Any]:
    calls = [part.function_call for part in parts if part.function_call][:most_calls]
    if not calls:
        return {"role": "assistant", "content": "".join(part.text or "" for part in parts)}
    listed = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.args or {})},
        }
        for call in calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def _choice(candidate: reply.Candidate, most_calls: int | None) -> dict[str, Any]:
    message = _message(candidate.content.parts, most_calls)
    return {
        "index": candidate.index,
        "message": message,
        "finish_reason": _finish(candidate, message),
        "logprobs": _logprobs(candidate.logprobs_result),
    }


def _finish(candidate: reply.Candidate, message: dict[str, Any]) -> str:
    if "tool_calls" in message:
        return "tool_calls"
    return FINISHED.get(candidate.finish_reason or "", "content_filter")


def _delta(event: Text | reply.Candidate, first: bool, most_calls: int | None) -> dict[str, Any]:
    if isinstance(event, Text):
        delta: dict[str, Any] = {"content": event.text}
        finish = None
    else:
        delta = _message(event.content.parts, most_calls)
        finish = _finish(event, delta)
        delta.pop("role")
        for number, call in enumerate(delta.get("tool_calls", ())):
            call["index"] = number
    delta |= {"role": "assistant"} if first else {}
    return {"index": event.index, "delta": delta, "finish_reason": finish}


def _logprobs(result: reply.LogprobsResult | None) -> dict[str, Any] | None:
    if result is None:
        return None

    def told_of(one: reply.TokenLogprob) -> dict[str, Any]:
        return {
            "token": one.token,
            "logprob": one.log_probability,
            "bytes": list(one.token.encode()),
        }

    pairs = zip(result.chosen_candidates, result.top_candidates, strict=True)
    content = [
        told_of(chosen) | {"top_logprobs": [told_of(one) for one in top.candidates]}
        for chosen, top in pairs
    ]
    return {"content": content, "refusal": None}


def _usage(usage: reply.UsageMetadata) -> dict[str, Any]:
    cached = usage.cached_content_token_count or 0
    return {
        "prompt_tokens": usage.prompt_token_count,
        "completion_tokens": usage.candidates_token_count,
        "total_tokens": usage.total_token_count,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def translated(body: ChatRequest) -> wire.GenerateContentRequest:
    """The same request as Gemini's."""
    contents, system, names = [], [], {}
    for number, message in enumerate(body.messages):
        for call in message.tool_calls or ():
            names[call.id] = call.function.name
        content = _content(message, names, f"messages[{number}]")
        if content.role == "system":
            system += content.parts
        elif content.parts:
            contents.append(content)
    if not contents:
        raise invalid("messages need one of the user", "messages")
    config = wire.GenerationConfig(
        temperature=body.temperature,
        top_p=body.top_p,
        candidate_count=body.n,
        max_output_tokens=body.max_completion_tokens or body.max_tokens,
        stop_sequences=body.stop or None,
        seed=None if body.seed is None else body.seed % 2**31,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        response_logprobs=body.logprobs,
        logprobs=body.top_logprobs if body.logprobs else None,
        **_form(body.response_format),
    )
    return wire.GenerateContentRequest(
        contents=contents,
        system_instruction=wire.Content(parts=system) if system else None,
        generation_config=config,
        tools=_tools(body.tools),
        tool_config=_choice_of_tool(body.tool_choice),
    )


def _content(message: Message, names: dict[str | None, str], field: str) -> wire.Content:
    if message.role == "tool":
        name = names.get(message.tool_call_id, "tool")
        response = {"result": message.content}
        part = wire.Part(function_response=wire.FunctionResponse(name=name, response=response))
        return wire.Content(role="user", parts=[part])
    given = message.content or []
    listed = [{"type": "text", "text": given}] if isinstance(given, str) else given
    parts = [_part(one, f"{field}.content") for one in listed]
    for call in message.tool_calls or ():
        try:
            arguments = json.loads(call.function.arguments or "{}")
            made = wire.FunctionCall(name=call.function.name, args=arguments, id=call.id)
        except ValueError:
            raise invalid("the arguments of a tool call must be a JSON object", field) from None
        parts.append(wire.Part(function_call=made))
    return wire.Content.model_validate({"role": PREFIXES[message.role], "parts": parts})


def _part(given: wire.Json, field: str) -> wire.Part:
    kind, value = given.get("type"), given.get(str(given.get("type")))
    if kind == "text" and isinstance(value, str):
        return wire.Part(text=value)
    if kind == "image_url" and isinstance(value, dict):
        found = DATA.fullmatch(str(value.get("url", "")))
        if not found:
            raise missing("an image by its address", "this server opens none; send a data: URL")
        return wire.Part(inline_data=wire.Blob(mime_type=found[1], data=found[2]))
    if kind == "input_audio" and isinstance(value, dict):
        mime = f"audio/{str(value.get('format', 'wav'))[:20]}"
        return wire.Part(inline_data=wire.Blob(mime_type=mime, data=str(value.get("data", ""))))
    if kind == "file" and isinstance(value, dict):
        if isinstance(value.get("file_id"), str):
            return wire.Part(file_data=wire.FileData(file_uri=f"files/{value['file_id'][-60:]}"))
        if found := DATA.fullmatch(str(value.get("file_data", ""))):
            name = str(value.get("filename") or "")[:200] or None
            blob = wire.Blob(mime_type=found[1], data=found[2], display_name=name)
            return wire.Part(inline_data=blob)
    raise invalid(f"a part of type {str(kind)[:40]!r} cannot be read", field)


def _form(form: wire.Json | None) -> dict[str, Any]:
    kind = (form or {}).get("type", "text")
    if form is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"response_mime_type": "application/json"}
    given = form.get("json_schema")
    if kind == "json_schema" and isinstance(given, dict):
        return {
            "response_mime_type": "application/json",
            "response_json_schema": given.get("schema", {}),
        }
    raise invalid("response_format is text, json_object or json_schema", "response_format")


def _tools(tools: list[ToolOf] | None) -> list[wire.Tool] | None:
    if not tools:
        return None
    try:
        declared = [
            wire.FunctionDeclaration(
                name=tool.function.name,
                description=tool.function.description,
                parameters_json_schema=tool.function.parameters,
            )
            for tool in tools
        ]
    except ValidationError as error:
        raise of_validation(error.errors()) from None
    return [wire.Tool(function_declarations=declared)]


def _choice_of_tool(choice: str | wire.Json | None) -> wire.ToolConfig | None:
    if choice is None:
        return None
    if isinstance(choice, dict):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise invalid("tool_choice names no function", "tool_choice")
        config = wire.FunctionCallingConfig(mode="ANY", allowed_function_names=[name])
        return wire.ToolConfig(function_calling_config=config)
    if choice == "required":
        return wire.ToolConfig(function_calling_config=wire.FunctionCallingConfig(mode="ANY"))
    if choice == "none":
        return wire.ToolConfig(function_calling_config=wire.FunctionCallingConfig(mode="NONE"))
    if choice == "auto":
        return wire.ToolConfig(function_calling_config=wire.FunctionCallingConfig(mode="AUTO"))
    raise invalid("tool_choice is none, auto, required or a function", "tool_choice")


def error_body(error: ApiError) -> dict[str, Any]:
    """As OpenAI has it."""
    kind = TYPES.get(error.status_code, "server_error")
    told_of = {"message": error.message, "type": kind, "param": None, "code": error.status.lower()}
    return {"error": told_of}
