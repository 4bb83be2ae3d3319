# SPDX-License-Identifier: Apache-2.0
"""An answer of the model as a candidate: text, reason to finish, sources, probabilities."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pollux.calls import words
from pollux.engine.answer import Answer
from pollux.engine.drawing import Drawing
from pollux.engine.sampling import Chosen
from pollux.engine.source import Source
from pollux.media.png import png
from pollux.memory.place import bytes_between
from pollux.memory.reading import Reading
from pollux.serve import reply, wire
from pollux.serve.calling import Decision, call_of
from pollux.serve.hub import Hub
from pollux.serve.tools import Form

EMPTY = (
    "There is nothing to read here. I answer from what I am given: put text, files or a cached "
    "content before the question.",
    "这里没有可读的内容。我只根据给出的内容回答：请在问题之前给出文本、文件或缓存内容。",
)
OTHER = (
    "This is none of my skills: I find facts, quote passages and say where and when something is "
    "said. The passages that come to mind:",
    "这不是我会做的事：我会查找事实、引用原文、指出出处和时间。想到的段落：",
)
LACKING = (
    "To {tool} I need to know: {names}.",
    "要执行“{tool}”，还需要知道：{names}。",
)
UNSURE = ("I am not sure of that. The passages that come to mind:", "我不确定。想到的段落：")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What was asked and of what."""

    hub: Hub
    reading: Reading
    origins: Sequence[str]  # of its parts
    question: str
    form: Form
    logprobs: bool
    results: str = ""  # of functions called in the turn before
    ran: Sequence[wire.Part] = ()  # programs and what came of them: the answer's beginning


def made(context: Context, answer: Answer, index: int) -> reply.Candidate:
    # What a program printed is answer enough where the model has none.
    mute = context.ran and context.form.grammar is None and answer.kind != "answer"
    text = "" if mute else whole_text(context, answer)
    finish = "MAX_TOKENS" if answer.finish == "max_tokens" else "STOP"
    pictures = any(isinstance(part, Drawing) for part in answer.parts)
    if not mute and (pictures or "TEXT" not in context.form.modalities):
        return drawn(context, answer, index)
    parts = [wire.Part(text=text)]
    if context.ran:
        parts = [*context.ran, *([] if mute else parts)]
    logprobs = [chosen.logprob for chosen in answer.chosen]
    return reply.Candidate(
        content=wire.Content(role="model", parts=parts),
        index=index,
        finish_reason=finish,
        avg_logprobs=sum(logprobs) / len(logprobs),
        logprobs_result=_logprobs(context, answer.chosen) if context.logprobs else None,
        citation_metadata=_citations(context, answer, text),
        grounding_metadata=None if mute else _grounding(context, answer, text),
        token_count=answer.tokens,
    )


def drawn(context: Context, answer: Answer, index: int) -> reply.Candidate:
    """The same where there are pictures: with text, if that was asked for too."""
    texts = "TEXT" in context.form.modalities
    parts = [part for part in answer.parts if texts or isinstance(part, Drawing)]
    finish = "MAX_TOKENS" if answer.finish == "max_tokens" else "STOP"
    logprobs = [chosen.logprob for chosen in answer.chosen]
    return reply.Candidate(
        content=wire.Content(role="model", parts=[*context.ran, *map(_part, parts)]),
        index=index,
        finish_reason=finish if parts else "NO_IMAGE",
        avg_logprobs=sum(logprobs) / len(logprobs),
        logprobs_result=_logprobs(context, answer.chosen) if context.logprobs else None,
        token_count=answer.tokens,
    )


def _part(part: str | Drawing) -> wire.Part:
    if isinstance(part, str):
        return wire.Part(text=part)
    data = base64.b64encode(png(part.pixels)).decode()
    return wire.Part(inline_data=wire.Blob(mime_type="image/png", data=data))


def called(
    context: Context, decided: Sequence[tuple[Decision, Answer | None]], index: int
) -> reply.Candidate:
    """Calls of functions, with what the model wrote of them; what they lack is asked for."""
    parts: list[wire.Part] = []
    broken = False
    for one, answer in decided:
        if one.missing and not one.forced:
            parts.append(wire.Part(text=_lacking(context, one)))
            continue
        ended = answer is None or answer.finish == "end"
        call = call_of(one, answer.text if answer else "") if ended else None
        parts += [wire.Part(function_call=call)] if call else []
        broken |= call is None
    tokens = sum(answer.tokens for _, answer in decided if answer)
    given = json.dumps([one.arguments for one, _ in decided], ensure_ascii=False)
    tokens += len(context.hub.model.tokenizer.encode(given))
    return reply.Candidate(
        content=wire.Content(role="model", parts=[*context.ran, *(parts or [wire.Part(text="")])]),
        index=index,
        finish_reason="MALFORMED_FUNCTION_CALL" if broken else "STOP",
        token_count=tokens,
    )


def _lacking(context: Context, one: Decision) -> str:
    names = ", ".join(words(name) for name in one.missing)
    return LACKING[_is_chinese(context)].format(tool=words(one.function.tool.name), names=names)


def _is_chinese(context: Context) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in context.question)


def whole_text(context: Context, answer: Answer) -> str:
    """What the model wrote; where that is no answer, what it brings to mind."""
    if context.form.grammar is not None or answer.kind == "answer":
        return answer.text
    if context.results:  # what a function said is the answer, where spark finds none in it
        return context.results
    if answer.kind == "absent":
        return answer.text
    chinese = _is_chinese(context)
    if answer.kind == "other" or not answer.text:
        if not any(part.end > part.text_start for part in context.reading.parts):
            return EMPTY[chinese]
        return OTHER[chinese] + _listed(answer.sources)
    return f"{answer.text}\n\n{UNSURE[chinese]}{_listed(answer.sources)}"


def _listed(sources: Sequence[Source]) -> str:
    return "".join(
        f"\n[{number}] {source.place}: {' '.join(source.text.split())}"
        for number, source in enumerate(sources, 1)
    )


def _place(context: Context, source: Source) -> reply.SourcePlace:
    place, reading = source.place, context.reading
    part = reading.part_of(source.start)
    end = min(max(source.end, part.text_start), part.end)
    size = bytes_between(reading, context.hub.model.tokenizer, part.text_start, end)
    return reply.SourcePlace(
        part=place.part,
        line=place.line,
        column=place.column,
        start_byte=place.byte,
        end_byte=size,
        time=place.time,
        page=place.page,
        medium=place.medium,
        milliseconds=place.milliseconds,
        frame=place.frame,
    )


def _uri(context: Context, source: Source) -> str:
    """Of the file, or of the part of the request, with where in it.

    A page, a time in seconds (W3C media fragments), or a line (RFC 5147: from 0).
    """
    number = context.reading.parts.index(context.reading.part_of(source.start))
    place, whole = source.place, context.origins[number] or source.place.part
    if place.page is not None:
        return f"{whole}#page={place.page}"
    if place.milliseconds is not None:
        return f"{whole}#t={place.milliseconds / 1000:g}"
    return whole if place.medium else f"{whole}#line={place.line - 1},{place.line}"


def _grounding(context: Context, answer: Answer, text: str) -> reply.GroundingMetadata | None:
    if not answer.sources:
        return None
    chunks = [
        reply.GroundingChunk(
            retrieved_context=reply.RetrievedContext(
                title=source.place.part,
                text=source.text,
                uri=_uri(context, source),
                page_number=source.place.page,
                place=_place(context, source),
            )
        )
        for source in answer.sources
    ]
    support = reply.GroundingSupport(
        segment=reply.Segment(part_index=len(context.ran), end_index=len(text.encode()), text=text),
        grounding_chunk_indices=[*range(len(chunks))],
        confidence_scores=[round(source.weight, 4) for source in answer.sources],
    )
    return reply.GroundingMetadata(grounding_chunks=chunks, grounding_supports=[support])


def _citations(context: Context, answer: Answer, text: str) -> reply.CitationMetadata | None:
    """Only what an answer rests on, not what merely came to mind."""
    if answer.kind != "answer" or not answer.sources:
        return None
    end = len(text.encode())
    return reply.CitationMetadata(
        citation_sources=[
            reply.CitationSource(
                start_index=0, end_index=end, uri=_uri(context, source), title=source.place.part
            )
            for source in answer.sources
        ]
    )


def _logprobs(context: Context, chosen: Sequence[Chosen]) -> reply.LogprobsResult:
    tokenizer = context.hub.model.tokenizer
    names = {number: name for name, number in tokenizer.control.items()}

    def told(token: int, logprob: float) -> reply.TokenLogprob:
        code = token - tokenizer.vocab_size
        text = names.get(token) or (f"<image {code}>" if code >= 0 else tokenizer.decode([token]))
        return reply.TokenLogprob(token=text, token_id=token, log_probability=logprob)

    return reply.LogprobsResult(
        chosen_candidates=[told(one.token, one.logprob) for one in chosen],
        top_candidates=[
            reply.TopCandidates(candidates=[told(*other) for other in one.alternatives])
            for one in chosen
        ],
        log_probability_sum=sum(one.logprob for one in chosen),
    )
