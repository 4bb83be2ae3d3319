# SPDX-License-Identifier: Apache-2.0
"""generateContent, streamGenerateContent and countTokens."""

import logging
import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pollux.engine.answer import Answer, Respondent, question_tokens
from pollux.engine.sampling import Sampling
from pollux.engine.scheduler import Handle
from pollux.media.part import Part
from pollux.memory.reading import Reading
from pollux.serve import (
    caches,
    calling,
    candidate,
    errors,
    programs,
    prompt,
    reply,
    safety,
    usage,
    view,
    wire,
)
from pollux.serve.calling import Decider, Decision
from pollux.serve.candidate import Context
from pollux.serve.errors import invalid
from pollux.serve.files import FOREVER
from pollux.serve.hub import Hub, HubOf
from pollux.serve.library import LITTLE, Piece
from pollux.serve.reply import JsonReply, Stream, encoded
from pollux.serve.tools import Form, check_tools
from pollux.serve.work import Ticket, events, result

MAX_TOKENS = 256  # of an answer, where the request does not say
GREEDY_TOP_P = 1e-9

router = APIRouter(tags=["models"])
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request understood."""

    prompt: prompt.Prompt
    programs: tuple[str, ...]  # to be run before it is answered
    blocked_from: safety.Levels
    feedback: reply.PromptFeedback | None  # why it is not answered
    sampling: Sampling
    candidates: int
    form: Form
    calling: calling.Calling | None
    results: str  # of functions called in the turn before
    cached: tuple[str, Reading, list[str]] | None  # key, reading, origins
    logprobs: bool
    to_read: int  # characters that no reading has yet


@dataclass(frozen=True, kw_only=True)
class Text:
    index: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Everything was read: what answers, and what the prompt cost."""

    asked: Asked
    respondent: Respondent
    context: Context
    prompt_tokens: Counter[str]
    cached_tokens: Counter[str]
    tool_tokens: int


Event = Text | reply.Candidate | reply.PromptFeedback


def understood(hub: Hub, body: wire.GenerateContentRequest) -> Asked:
    """ApiError for what cannot be answered."""
    config = body.generation_config or wire.GenerationConfig()
    if body.continuation_token:
        raise errors.missing("continuationToken", "answers are never split")
    cached = caches.opened(hub, body.cached_content) if body.cached_content else None
    if cached and (body.system_instruction or body.tools or body.tool_config):
        raise invalid("systemInstruction and tools cannot be given beside a cachedContent")
    form = Form(hub, body)
    functions = calling.wanted(form.declared, body.tool_config, body.contents)
    if functions and functions.forced and form.grammar:
        raise invalid("a call cannot have a responseMimeType", "generationConfig")
    contents, code = body.contents, []
    if programs.wanted(body.tools):
        contents, code = programs.taken(contents)
    asks = not code or any(part.text for part in contents[-1].parts)
    given = {"more": cached is not None, "asks": asks, "resolution": view.of_config(config)}
    built = prompt.build(hub, contents, body.system_instruction, **given)
    if not built.question and not code:
        raise invalid("nothing is asked: the user's contents have no text", "contents")
    question = usage.count_question(hub, built.question)
    usage.check_length(hub, built.pieces, question + (cached[1].num_valid if cached else 0))
    blocked_from = safety.thresholds(body.safety_settings)
    return Asked(
        prompt=built,
        programs=tuple(code),
        blocked_from=blocked_from,
        feedback=safety.feedback(built.question, blocked_from),
        sampling=_sampling(hub, config),
        candidates=config.candidate_count or 1,
        form=form,
        calling=functions,
        results=calling.results(contents),
        cached=cached,
        logprobs=bool(config.response_logprobs),
        to_read=sum(p.characters for p in built.pieces if hub.library.find(p) is None),
    )


def _sampling(hub: Hub, config: wire.GenerationConfig) -> Sampling:
    return Sampling(
        max_tokens=min(config.max_output_tokens or MAX_TOKENS, hub.settings.output),
        temperature=config.temperature or 0.0,
        seed=(config.seed or 0) % 2**32,
        top_k=int(config.top_k or 0),
        top_p=1.0 if config.top_p is None else max(config.top_p, GREEDY_TOP_P),
        stop=tuple(config.stop_sequences or ()),
        alternatives=config.logprobs or 0,
    )


def begun(
    hub: Hub, body: wire.GenerateContentRequest, ticket: Ticket
) -> tuple[Asked, Opened | None]:
    """Opened at once where nothing has to be read, run or refused first."""
    asked = understood(hub, body)
    waits = asked.to_read or asked.programs or asked.feedback or not asked.prompt.question
    return asked, None if waits else opened(hub, asked, ticket)


def opened(hub: Hub, asked: Asked, ticket: Ticket, ran: Sequence[programs.Ran] = ()) -> Opened:
    """Reads what was not read yet, and what the programs printed."""
    pieces = list(asked.prompt.pieces)
    if not pieces and not asked.cached:
        pieces.append(hub.library.piece(Part(name="prompt", kind="text", text="")))
    pieces += (hub.library.piece(one.part(number)) for number, one in enumerate(ran, 1))
    readings, there = hub.library.readings(pieces, ticket)
    known = [reading for reading, old in zip(readings, there, strict=True) if old]
    keys, origins = [piece.key for piece in pieces], _origins(pieces, readings)
    if asked.cached:
        key, reading, of_cached = asked.cached
        keys, readings, known = [key, *keys], [reading, *readings], [reading, *known]
        origins = [*of_cached, *origins]
    prompted = usage.of_parts(readings[: len(readings) - len(ran)])
    prompted["TEXT"] += len(question_tokens(hub.model, asked.prompt.question))
    prompted["TEXT"] += calling.count(hub, asked.form.declared)
    respondent = hub.library.respondent(keys, readings)
    context = Context(
        hub=hub,
        reading=respondent.reading,
        origins=origins,
        question=asked.prompt.question,
        form=asked.form,
        logprobs=asked.logprobs,
        results=asked.results,
        ran=programs.parts_of(ran),
    )
    return Opened(
        asked=asked,
        respondent=respondent,
        context=context,
        prompt_tokens=prompted,
        cached_tokens=usage.of_parts(known),
        tool_tokens=usage.of_parts(readings[len(readings) - len(ran) :]).total(),
    )


def unread(hub: Hub, asked: Asked) -> Counter[str]:
    """Tokens of a prompt that is not answered by the model."""
    tokens = usage.count_question(hub, asked.prompt.question)
    tokens += calling.count(hub, asked.form.declared)
    tokens += asked.cached[1].num_valid if asked.cached else 0
    return usage.unread(hub, asked.prompt.pieces, lambda: None) + Counter(TEXT=tokens)


def unasked(asked: Asked, ran: Sequence[programs.Ran]) -> reply.Candidate:
    """The answer where there is nothing but programs."""
    content = wire.Content(role="model", parts=programs.parts_of(ran))
    return reply.Candidate(content=content, finish_reason="STOP", token_count=0)


def answering(ready: Opened, ticket: Ticket) -> Iterator[Event]:
    """All candidates are in the making together; they are told one after another."""
    asked, hub = ready.asked, ready.context.hub
    decided: list[Decision] = []
    if asked.calling:
        decided = Decider(asked.calling, hub.grammars, ticket.check).decided()
    handles: list[Handle] = []
    try:
        for index in range(asked.candidates):
            sampling = replace(asked.sampling, seed=(asked.sampling.seed + index) % 2**32)
            handles.extend(_begun(ready, sampling, decided, ticket))
        for index in range(asked.candidates):
            if decided:
                yield _called(ready, decided, handles, index)
            else:
                yield from _told(ready, handles[index], index)
            ticket.check()
    finally:
        for handle in handles:
            handle.cancel()


def _begun(
    ready: Opened, sampling: Sampling, decided: Sequence[Decision], ticket: Ticket
) -> list[Handle]:
    """An answer, or what is to be written of calls."""
    asked, hub = ready.asked, ready.context.hub
    if decided:
        sampling = replace(sampling, stop=())
        return [calling.ask(hub, one, sampling, ticket) for one in decided if one.written]
    guide = asked.form.guide()
    handle = hub.scheduler.submit(ready.respondent, asked.prompt.question, sampling, guide)
    ticket.at_cancel(handle.cancel)
    return [handle]


def _called(
    ready: Opened, decided: Sequence[Decision], handles: Sequence[Handle], index: int
) -> reply.Candidate:
    """All calls together; `handles`: of what is written of them, all candidates' in turn."""
    written = sum(one.written for one in decided)
    answers = iter([one.answer() for one in handles[index * written :][:written]])
    made = [(one, next(answers) if one.written else None) for one in decided]
    whole = candidate.called(ready.context, made, index)
    return safety.judged(whole, ready.asked.blocked_from)


def _told(ready: Opened, handle: Handle, index: int) -> Iterator[Event]:
    """One answer: pieces of its text, then the whole, as far as both may be told."""
    asked, guard = ready.asked, safety.Guard(ready.asked.blocked_from)
    # Pictures come with the whole, between its texts.
    quiet = bool(ready.context.ran) or asked.form.pictures
    for piece in handle:
        if isinstance(piece, Answer):
            whole = candidate.made(ready.context, piece, index)
            yield safety.judged(whole, asked.blocked_from)
        elif not quiet:
            text = guard.passed(piece)
            if text is None:  # to the end it is heard, and no more told
                quiet = True
            elif text:
                yield Text(index=index, text=text)


def _origins(pieces: Sequence[Piece], readings: Sequence[Reading]) -> list[str]:
    return [
        piece.origin for piece, reading in zip(pieces, readings, strict=True) for _ in reading.parts
    ]


class Exchange:
    """One request and its answer: what every chunk of it repeats."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.response_id = secrets.token_urlsafe(12)
        self.prompt_tokens: Counter[str] = Counter()
        self.cached_tokens: Counter[str] = Counter()
        self.tool_tokens = 0
        self.feedback: reply.PromptFeedback | None = None
        self.said: defaultdict[int, str] = defaultdict(str)  # text of candidates, by index
        self.tokens = 0  # of finished candidates
        self.drawn = 0  # of them in pictures
        self.repeated: dict[str, Any] | None = None  # in each piece of text

    def response(self, candidates: list[reply.Candidate]) -> reply.GenerateContentResponse:
        total = self.prompt_tokens.total()
        return reply.GenerateContentResponse(
            candidates=candidates or None,
            prompt_feedback=self.feedback,
            usage_metadata=reply.UsageMetadata(
                prompt_token_count=total,
                candidates_token_count=self.tokens,
                total_token_count=total + self.tokens + self.tool_tokens,
                tool_use_prompt_token_count=self.tool_tokens or None,
                cached_content_token_count=self.cached_tokens.total() or None,
                prompt_tokens_details=usage.details(self.prompt_tokens),
                cache_tokens_details=usage.details(self.cached_tokens) or None,
                candidates_tokens_details=usage.details(usage.of_answers(self.tokens, self.drawn)),
            ),
            model_version=self.hub.model_name,
            response_id=self.response_id,
        )

    async def events(
        self, request: Request, body: wire.GenerateContentRequest
    ) -> AsyncGenerator[Event]:
        """Text as it comes, and each candidate when it is finished."""
        hub, ticket = self.hub, self.hub.ticket(request)
        first = hub.lane_of(request)
        asked, ready = await result(first, ticket, request, lambda: begun(hub, body, ticket))
        lane, ran = hub.lane(asked.to_read), []
        if asked.programs and not asked.feedback:
            # Not in a lane of the readers: they would wait for it.
            run = partial(programs.run, asked.programs, ticket)
            ran = await result(hub.answers, ticket, request, run)
        if asked.feedback or not asked.prompt.question:
            self.prompt_tokens = await result(lane, ticket, request, partial(unread, hub, asked))
            self.note(event := asked.feedback or unasked(asked, ran))
            yield event
            return
        if ready is None:
            ready = await result(lane, ticket, request, lambda: opened(hub, asked, ticket, ran))
        self.open(ready)
        coming = events(hub.answers, ticket, request, lambda: answering(ready, ticket))
        async with aclosing(coming):
            async for event in coming:
                self.note(event)
                yield event

    def open(self, ready: Opened) -> None:
        self.prompt_tokens, self.cached_tokens = ready.prompt_tokens, ready.cached_tokens
        self.tool_tokens = ready.tool_tokens

    def note(self, event: Event) -> None:
        """What later chunks tell of it."""
        if isinstance(event, Text):
            self.said[event.index] += event.text
            return
        self.repeated = None
        if isinstance(event, reply.PromptFeedback):
            self.feedback = event
        else:
            self.tokens += event.token_count or 0
            self.drawn += usage.drawn(event.content.parts)

    async def whole(
        self, request: Request, body: wire.GenerateContentRequest
    ) -> reply.GenerateContentResponse:
        found = [e async for e in self.events(request, body) if isinstance(e, reply.Candidate)]
        return self.response(found)

    def unsaid(self, candidate: reply.Candidate) -> reply.Candidate:
        """For a stream: the candidate with what was not streamed of its text."""
        parts = candidate.content.parts
        text = parts[0].text if len(parts) == 1 else None
        if text is None:
            return candidate
        said = self.said[candidate.index]
        # An answer may turn out to be none, and then says so in other words.
        rest = text[len(said) :] if text.startswith(said) else f"\n{text}"
        content = wire.Content(role="model", parts=[wire.Part(text=rest)])
        return candidate.model_copy(update={"content": content})

    def chunk(self, event: Event) -> dict[str, Any]:
        """A response of its own, as streams have it."""
        if isinstance(event, reply.PromptFeedback):
            return self.response([]).json_object()
        if isinstance(event, Text):
            if self.repeated is None:
                self.repeated = self.response([]).json_object()
            content = {"role": "model", "parts": [{"text": event.text}]}
            return {"candidates": [{"content": content, "index": event.index}], **self.repeated}
        return self.response([self.unsaid(event)]).json_object()


def answered(
    hub: Hub, body: wire.GenerateContentRequest, ticket: Ticket
) -> reply.GenerateContentResponse:
    """The whole answer, worked out where this is called."""
    exchange, found = Exchange(hub), []
    asked = understood(hub, body)
    ran = programs.run(asked.programs, ticket) if not asked.feedback else []
    if asked.feedback or not asked.prompt.question:
        exchange.prompt_tokens, exchange.feedback = unread(hub, asked), asked.feedback
        return exchange.response([] if asked.feedback else [unasked(asked, ran)])
    ready = opened(hub, asked, ticket, ran)
    exchange.open(ready)
    for event in answering(ready, ticket):
        ticket.check()
        exchange.note(event)
        if isinstance(event, reply.Candidate):
            found.append(event)
    return exchange.response(found)


@router.post("/models/{model}:generateContent", response_model=reply.GenerateContentResponse)
async def generate(hub: HubOf, request: Request, model: str, body: wire.GenerateContentRequest):
    """The whole answer at once."""
    hub.check_model(model)
    response = await Exchange(hub).whole(request, body)
    return JsonReply(response.json_object())


@router.post("/models/{model}:streamGenerateContent", response_model=reply.GenerateContentResponse)
async def stream(
    hub: HubOf, request: Request, model: str, body: wire.GenerateContentRequest, alt: str = "json"
) -> Response:
    """The answer as it comes: server-sent events with alt=sse, else one JSON array."""
    hub.check_model(model)
    exchange = Exchange(hub)
    coming = exchange.events(request, body)
    first = await anext(coming)  # what is wrong with a request is told before the answer begins
    chunks = _chunks(exchange, first, coming)
    if alt == "sse":
        return Stream(as_events(chunks), "text/event-stream")
    return Stream(_as_array(chunks), "application/json")


async def _chunks(
    exchange: Exchange,
    first: Event,
    rest: AsyncGenerator[Event],
) -> AsyncGenerator[dict[str, Any]]:
    """What goes wrong from here on is the last chunk."""
    try:
        yield exchange.chunk(first)
        async for event in rest:
            yield exchange.chunk(event)
    except Exception as error:
        yield told(error)
    finally:
        await rest.aclose()


def told(error: Exception) -> dict[str, Any]:
    """The body of an error; what was not foreseen goes into the log."""
    known = errors.of(error)
    if known.status == "INTERNAL":
        log.error("unforeseen", exc_info=error)
    return known.body()


async def as_events(chunks: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield b"data: " + encoded(chunk) + b"\r\n\r\n"


async def _as_array(chunks: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    before = b"["
    async with aclosing(chunks):
        async for chunk in chunks:
            yield before + encoded(chunk)
            before = b",\r\n"
    yield b"]"


@router.post("/models/{model}:countTokens", response_model=reply.CountTokensResponse)
async def count_tokens(hub: HubOf, request: Request, model: str, body: wire.CountTokensRequest):
    """Tokens as they would be read; nothing is."""
    hub.check_model(model)
    ticket = hub.ticket(request)
    inner = body.generate_content_request
    contents = inner.contents if inner else body.contents
    if not contents:
        raise invalid("there is nothing to count", "contents")

    def count() -> reply.CountTokensResponse:
        name = inner.cached_content if inner else None
        cached = caches.opened(hub, name)[1].num_valid if name else 0
        system = inner.system_instruction if inner else None
        given = contents
        if inner and any(tool.code_execution is not None for tool in inner.tools or ()):
            given, _ = programs.taken(contents)
        resolution = view.of_config(inner.generation_config if inner else None)
        built = prompt.build(hub, given, system, more=bool(cached), resolution=resolution)
        tokens = usage.unread(hub, built.pieces, ticket.check)
        tokens["TEXT"] += usage.count_question(hub, built.question) + cached
        tokens["TEXT"] += calling.count(hub, check_tools(inner.tools if inner else None))
        return reply.CountTokensResponse(
            total_tokens=tokens.total(),
            cached_content_token_count=cached or None,
            prompt_tokens_details=usage.details(tokens),
        )

    found = await result(hub.lane_of(request), ticket, request, count)
    return JsonReply(found.json_object())


def warm(hub: Hub) -> None:
    """Compiles what short and longer prompts need, so that no client waits for it."""
    for times in (1, LITTLE):
        texts = "The code of the gate is 5591.\n" * times, "What is the code of the gate?"
        contents = [wire.Content(parts=[wire.Part(text=text) for text in texts])]
        body = wire.GenerateContentRequest(contents=contents)
        answered(hub, body, Ticket.of(FOREVER))
