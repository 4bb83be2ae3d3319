# SPDX-License-Identifier: Apache-2.0
"""The models that are served, and what is left out of what Gemini's models do."""

from typing import Annotated

from fastapi import APIRouter, Query

from pollux import __version__
from pollux.serve import reply
from pollux.serve.errors import invalid, missing, not_found
from pollux.serve.hub import Hub, HubOf
from pollux.serve.reply import JsonReply

METHODS = [
    "generateContent",
    "countTokens",
    "embedContent",
    "batchGenerateContent",
    "asyncBatchEmbedContent",
    "createCachedContent",
]
LEFT_OUT = {
    "generateAnswer": "ask with generateContent: its answers have their sources",
    "predict": "spark makes no pictures",
    "predictLongRunning": "spark makes no videos",
    "bidiGenerateContent": "there is no live connection; stream with streamGenerateContent",
    "generateText": "it is of an older API; use generateContent",
    "embedText": "it is of an older API; use embedContent",
}

router = APIRouter(tags=["models"])
refused = APIRouter()  # included last: it takes what nothing else took


@router.get("/models", response_model=reply.ListModelsResponse)
def list_models(
    hub: HubOf,
    page_size: Annotated[int | None, Query(alias="pageSize", ge=0, le=1_000)] = None,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
) -> JsonReply:
    """The model, and the names that it goes by."""
    names = [hub.model_name, *hub.settings.aliases]
    if page_token and page_token not in names:
        raise invalid("pageToken is not one of this list", "pageToken")
    start = names.index(page_token) if page_token else 0
    end = start + page_size if page_size else len(names)
    listed = reply.ListModelsResponse(
        models=[described(hub, name) for name in names[start:end]],
        next_page_token=names[end] if end < len(names) else None,
    )
    return JsonReply(listed.json_object())


@router.get("/models/{model}", response_model=reply.Model)
def get_model(hub: HubOf, model: str) -> JsonReply:
    hub.check_model(model)
    return JsonReply(described(hub, model).json_object())


def described(hub: Hub, name: str) -> reply.Model:
    return reply.Model(
        name=f"models/{name}",
        base_model_id=hub.model_name,
        version=__version__,
        display_name=f"Pollux {hub.model_name}",
        description="Finds facts, quotes, and says where, in what it is given to read.",
        input_token_limit=hub.settings.context,
        output_token_limit=hub.settings.output,
        supported_generation_methods=METHODS,
    )


@refused.post("/models/{model}:{method}", include_in_schema=False)
def refuse_method(hub: HubOf, model: str, method: str) -> None:
    hub.check_model(model)
    if method in LEFT_OUT:
        raise missing(method, LEFT_OUT[method])
    raise not_found(f"models/{model}:{method}")


@refused.api_route("/interactions", methods=["GET", "POST"], include_in_schema=False)
def refuse_interactions() -> None:
    raise missing("the interactions API", "use generateContent")


@refused.api_route("/fileSearchStores", methods=["GET", "POST"], include_in_schema=False)
@refused.api_route("/corpora", methods=["GET", "POST"], include_in_schema=False)
def refuse_stores() -> None:
    raise missing("a file search store", "a cached content holds whole files")


@refused.api_route("/auth_tokens", methods=["POST"], include_in_schema=False)
def refuse_tokens() -> None:
    raise missing("a short-lived token", "there is no live connection to use it for")


@refused.api_route("/tunings", methods=["GET", "POST"], include_in_schema=False)
@refused.api_route("/tunedModels", methods=["GET", "POST"], include_in_schema=False)
def refuse_tuning() -> None:
    raise missing("tuning", "train with pollux train")
