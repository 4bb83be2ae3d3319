# SPDX-License-Identifier: Apache-2.0
"""Embeddings: the mean of a text's memory keys, at length 1.

A key says what comes before its token, so the mean says which runs of words a text has: texts that
share wording are near each other. docs/api.md says what that is good for.
"""

from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request

from pollux.memory.reading import Reading
from pollux.serve import prompt, reply, usage, wire
from pollux.serve.errors import invalid
from pollux.serve.hub import Hub, HubOf
from pollux.serve.reply import JsonReply
from pollux.serve.work import Ticket, result

STEP = 65_536  # tokens at a time

router = APIRouter(tags=["models"])


@router.post("/models/{model}:embedContent", response_model=reply.EmbedContentResponse)
async def embed(hub: HubOf, request: Request, model: str, body: wire.EmbedContentRequest):
    hub.check_model(model)
    ticket = hub.ticket(request)
    found = await result(
        hub.lane_of(request), ticket, request, lambda: embeddings(hub, [body], ticket)
    )
    return JsonReply(reply.EmbedContentResponse(embedding=found[0]).json_object())


@router.post("/models/{model}:batchEmbedContents", response_model=reply.BatchEmbedContentsResponse)
async def embed_several(
    hub: HubOf, request: Request, model: str, body: wire.BatchEmbedContentsRequest
):
    hub.check_model(model)
    for one in body.requests:
        hub.check_model(one.model or model)
    ticket = hub.ticket(request)
    found = await result(
        hub.lane_of(request), ticket, request, lambda: embeddings(hub, body.requests, ticket)
    )
    return JsonReply(reply.BatchEmbedContentsResponse(embeddings=found).json_object())


def embeddings(
    hub: Hub, asked: Sequence[wire.EmbedContentRequest], ticket: Ticket
) -> list[reply.ContentEmbedding]:
    """One for each request; ApiError for what has no text or too many dimensions."""
    pieces, counts = [], []
    for number, one in enumerate(asked):
        field = f"requests[{number}]"
        size = one.output_dimensionality or hub.model.config.key_dim
        if size > hub.model.config.key_dim:
            raise invalid(
                f"an embedding has {hub.model.config.key_dim} dimensions, not {size}", field
            )
        of_one = prompt.read_whole(hub, [one.content], None)
        if not of_one:
            raise invalid("there is nothing to embed", field)
        pieces += of_one
        counts.append((len(of_one), size))
    usage.check_length(hub, pieces, 0)
    readings, _ = hub.library.readings(pieces, ticket)
    out, at = [], 0
    for count, size in counts:
        out.append(reply.ContentEmbedding(values=pooled(readings[at : at + count], size)))
        at += count
    return out


def pooled(readings: Sequence[Reading], size: int) -> list[float]:
    """The mean key of all text tokens, cut to `size` numbers, at length 1."""
    total = np.zeros(readings[0].shape.key_dim)
    for reading in readings:
        for part in reading.parts:
            for start in range(part.text_start, part.end, STEP):
                rows = reading.take(np.arange(start, min(start + STEP, part.end)))
                total += rows.key_scales.astype(np.float64) @ rows.keys
    cut = total[:size]
    return (cut / max(float(np.linalg.norm(cut)), 1e-12)).tolist()
