# SPDX-License-Identifier: Apache-2.0
"""What the server answers, in camelCase and without empty fields."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from pollux.serve.wire import Content, Json


def encoded(value: Any) -> bytes:
    """JSON in UTF-8; what UTF-8 has no bytes for (half a surrogate pair) stays escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode()


class JsonReply(JSONResponse):
    def render(self, content: Any) -> bytes:
        return encoded(content)


class Stream(Response):
    """Bytes as they come. Whether the client is still there is watched by who makes them."""

    def __init__(self, coming: AsyncGenerator[bytes], media_type: str):
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self.coming = coming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(self.coming):
            async for piece in self.coming:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Reply(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    def json_object(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


class Failure(Reply):
    """google.rpc.Status."""

    code: int
    message: str
    status: str
    details: list[Json] = []


class Failed(Reply):
    error: Failure


class ModalityTokenCount(Reply):
    modality: str
    token_count: int


class UsageMetadata(Reply):
    prompt_token_count: int
    candidates_token_count: int = 0
    total_token_count: int
    cached_content_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokenCount] = []
    cache_tokens_details: list[ModalityTokenCount] | None = None
    candidates_tokens_details: list[ModalityTokenCount] | None = None
    tool_use_prompt_token_count: int | None = None


class SafetyRating(Reply):
    category: str
    probability: str
    blocked: bool | None = None


class PromptFeedback(Reply):
    block_reason: str
    safety_ratings: list[SafetyRating]


class SourcePlace(Reply):
    """Where a source stands; lines and columns from 1, bytes from 0. Pollux's own addition."""

    part: str
    line: int
    column: int
    start_byte: int
    end_byte: int
    time: str | None = None
    page: int | None = None
    medium: str | None = None  # of a picture, sound or film there are no lines
    milliseconds: int | None = None
    frame: int | None = None


class RetrievedContext(Reply):
    title: str
    text: str
    uri: str
    page_number: int | None = None
    place: SourcePlace


class GroundingChunk(Reply):
    retrieved_context: RetrievedContext


class Segment(Reply):
    part_index: int = 0
    start_index: int = 0  # bytes
    end_index: int
    text: str


class GroundingSupport(Reply):
    segment: Segment
    grounding_chunk_indices: list[int]
    confidence_scores: list[float]


class GroundingMetadata(Reply):
    grounding_chunks: list[GroundingChunk]
    grounding_supports: list[GroundingSupport] = []


class CitationSource(Reply):
    start_index: int
    end_index: int
    uri: str
    title: str


class CitationMetadata(Reply):
    citation_sources: list[CitationSource]


class TokenLogprob(Reply):
    token: str
    token_id: int
    log_probability: float


class TopCandidates(Reply):
    candidates: list[TokenLogprob]


class LogprobsResult(Reply):
    top_candidates: list[TopCandidates]
    chosen_candidates: list[TokenLogprob]
    log_probability_sum: float


class Candidate(Reply):
    content: Content
    index: int = 0
    finish_reason: str | None = None
    finish_message: str | None = None
    safety_ratings: list[SafetyRating] | None = None
    avg_logprobs: float | None = None
    logprobs_result: LogprobsResult | None = None
    citation_metadata: CitationMetadata | None = None
    grounding_metadata: GroundingMetadata | None = None
    token_count: int | None = None


class GenerateContentResponse(Reply):
    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata
    model_version: str
    response_id: str


class CountTokensResponse(Reply):
    total_tokens: int
    cached_content_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokenCount] = []


class Model(Reply):
    name: str
    base_model_id: str
    version: str
    display_name: str
    description: str
    input_token_limit: int
    output_token_limit: int
    supported_generation_methods: list[str]
    temperature: float = 0.0
    max_temperature: float = 2.0
    top_p: float = 1.0
    top_k: int = 0
    thinking: bool = False


class ListModelsResponse(Reply):
    models: list[Model]
    next_page_token: str | None = None


class File(Reply):
    name: str
    uri: str
    mime_type: str
    size_bytes: str  # int64 is a string in proto-JSON
    state: str
    create_time: str
    update_time: str
    expiration_time: str
    sha256_hash: str
    source: str = "UPLOADED"
    display_name: str | None = None
    download_uri: str | None = None
    error: Json | None = None
    metadata: Json | None = None


class FileReply(Reply):
    file: File


class ListFilesResponse(Reply):
    files: list[File]
    next_page_token: str | None = None


class CachedContent(Reply):
    name: str
    model: str
    create_time: str
    update_time: str
    expire_time: str
    usage_metadata: Json
    display_name: str | None = None


class ListCachedContentsResponse(Reply):
    cached_contents: list[CachedContent]
    next_page_token: str | None = None


class ContentEmbedding(Reply):
    values: list[float]


class EmbedContentResponse(Reply):
    embedding: ContentEmbedding


class BatchEmbedContentsResponse(Reply):
    embeddings: list[ContentEmbedding]


class Operation(Reply):
    name: str
    metadata: Json
    done: bool
    response: Json | None = None
    error: Json | None = None


class ListOperationsResponse(Reply):
    operations: list[Operation]
    next_page_token: str | None = None
