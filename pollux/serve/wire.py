# SPDX-License-Identifier: Apache-2.0
"""What clients send: the Gemini REST API's messages.

Every field is known by its camelCase and its snake_case name, as in proto-JSON, because clients
mix the two. What a message holds for the model alone (args, response, schemas) is left as it is.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


def _listed(value: Any) -> Any:
    """One object where a list of them is meant, as Google's own examples have it."""
    return [value] if isinstance(value, dict) else value


Json = dict[str, Any]  # not rewritten


class Blob(Wire):
    mime_type: str = ""
    data: str = Field(repr=False, description="base64, standard or URL-safe")
    display_name: str | None = None


class FileData(Wire):
    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(Wire):
    name: str
    args: Json | None = None
    id: str | None = None


class FunctionResponse(Wire):
    name: str
    response: Json | None = None
    id: str | None = None
    parts: list[Json] | None = None
    will_continue: bool | None = None
    scheduling: str | None = None


class ExecutableCode(Wire):
    code: str
    language: str | None = None
    id: str | None = None


class CodeExecutionResult(Wire):
    outcome: str | None = None
    output: str | None = None
    id: str | None = None


class VideoMetadata(Wire):
    start_offset: str | None = None
    end_offset: str | None = None
    fps: float | None = None


class Part(Wire):
    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    video_metadata: VideoMetadata | None = None
    media_resolution: Json | str | None = None
    part_metadata: Json | None = None


class Content(Wire):
    parts: Annotated[list[Part], BeforeValidator(_listed)] = []
    role: Literal["user", "model", "function", "system", ""] | None = None


Contents = Annotated[list[Content], BeforeValidator(_listed)]


class FunctionDeclaration(Wire):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")
    description: str | None = None
    parameters: Json | None = None
    parameters_json_schema: Json | None = None
    response: Json | None = None
    response_json_schema: Json | None = None
    behavior: str | None = None


class Tool(Wire):
    function_declarations: list[FunctionDeclaration] | None = None
    code_execution: Json | None = None
    google_search: Json | None = None
    google_search_retrieval: Json | None = None
    google_maps: Json | None = None
    url_context: Json | None = None
    file_search: Json | None = None
    computer_use: Json | None = None
    mcp_servers: list[Json] | None = None


class FunctionCallingConfig(Wire):
    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] = []
    stream_function_call_arguments: bool | None = None


class ToolConfig(Wire):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Json | None = None
    include_server_side_tool_invocations: bool | None = None


class SafetySetting(Wire):
    category: str = Field(pattern="^HARM_CATEGORY_[A-Z_]+$")
    threshold: Literal[
        "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
        "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE",
        "BLOCK_ONLY_HIGH",
        "BLOCK_NONE",
        "OFF",
    ]


class GenerationConfig(Wire):
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: float | None = Field(None, ge=0, le=1e6)
    candidate_count: int | None = Field(None, ge=1, le=8)
    max_output_tokens: int | None = Field(None, ge=1)
    stop_sequences: list[str] | None = Field(None, max_length=16)
    response_logprobs: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**31), lt=2**31)
    response_mime_type: str | None = None
    response_schema: Json | None = None
    response_json_schema: Any = None
    response_format: Json | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None
    thinking_config: Json | None = None
    speech_config: Json | None = None
    image_config: Json | None = None
    audio_timestamp: bool | None = None
    enable_enhanced_civic_answers: bool | None = None


class GenerateContentRequest(Wire):
    contents: Contents = Field(min_length=1)
    model: str | None = None
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    continuation_token: str | None = None


class CountTokensRequest(Wire):
    contents: Contents | None = None
    generate_content_request: GenerateContentRequest | None = None


class CachedContentRequest(Wire):
    """To create one, and to change one: then only the time counts."""

    name: str | None = None
    model: str | None = None
    display_name: str | None = Field(None, max_length=128)
    contents: Contents = []
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    ttl: str | None = Field(None, description='seconds, as in "300s"')
    expire_time: str | None = Field(None, description="RFC 3339")


class EmbedContentRequest(Wire):
    content: Content
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = Field(None, ge=1)
    auto_truncate: bool | None = None


class BatchEmbedContentsRequest(Wire):
    requests: list[EmbedContentRequest] = Field(min_length=1, max_length=1000)


class InlinedRequest(Wire):
    request: Json  # checked when its turn comes: one that is wrong does not fail the others
    metadata: Json | None = None


class InlinedRequests(Wire):
    requests: list[InlinedRequest] = Field(min_length=1, max_length=100_000)


class InputConfig(Wire):
    requests: InlinedRequests | None = None
    file_name: str | None = None


class Batch(Wire):
    input_config: InputConfig
    display_name: str | None = None
    name: str | None = None
    model: str | None = None
    priority: str | None = None


class BatchRequest(Wire):
    batch: Batch


class NewFile(Wire):
    name: str | None = None
    display_name: str | None = Field(None, max_length=512)
    mime_type: str | None = None
    size_bytes: int | None = Field(None, ge=0)


class UploadRequest(Wire):
    file: NewFile = NewFile()
