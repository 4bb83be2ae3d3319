# SPDX-License-Identifier: Apache-2.0
"""What a request asks for beside text: tools, modalities and other settings, checked at once."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pollux.engine.drawing import BEGIN
from pollux.engine.sampling import FORBIDDEN
from pollux.serve import grammar, wire
from pollux.serve.errors import invalid, missing
from pollux.serve.grammar import Guide
from pollux.serve.hub import Hub

LEFT_OUT = {
    "google_search": "this server opens no connections",
    "google_search_retrieval": "this server opens no connections",
    "google_maps": "this server opens no connections",
    "url_context": "this server opens no connections; send the page's text",
    "file_search": "put the files themselves into the prompt, or into a cached content",
    "computer_use": "spark is not trained for it",
    "mcp_servers": "this server opens no connections",
}


def check_tools(tools: Sequence[wire.Tool] | None) -> list[wire.FunctionDeclaration]:
    """The functions declared; ApiError for other tools, and for a name declared twice."""
    declared: list[wire.FunctionDeclaration] = []
    for tool in tools or ():
        for name, reason in LEFT_OUT.items():
            if getattr(tool, name) is not None:
                raise missing(f"the tool {name}", reason)
        declared += tool.function_declarations or ()
    for one in declared:
        if one.parameters is not None and one.parameters_json_schema is not None:
            raise invalid(f"give {one.name} parameters or parametersJsonSchema, not both", "tools")
        grammar.parameters(one)
    twice = [name for name, times in Counter(one.name for one in declared).items() if times > 1]
    if twice:
        raise invalid(f"the function {twice[0]!r} is declared twice", "tools")
    return declared


def check_config(config: wire.GenerationConfig) -> None:
    """ApiError for what this server cannot make."""
    if config.speech_config:
        raise missing("speechConfig", "this server answers in text and pictures")
    if config.image_config:
        raise missing("imageConfig", "pictures are 64 x 64 pixels")
    if config.response_format:
        raise missing("responseFormat", "give responseMimeType and responseJsonSchema")
    if config.logprobs is not None and not config.response_logprobs:
        raise invalid("logprobs needs responseLogprobs", "generationConfig.logprobs")


def modalities(hub: Hub, config: wire.GenerationConfig) -> frozenset[str]:
    """TEXT, IMAGE or both: what an answer may consist of. ApiError for what the model cannot."""
    asked = {modality.upper() for modality in config.response_modalities or ()}
    asked -= {"MODALITY_UNSPECIFIED"}
    accepted = ["TEXT", "IMAGE"] if hub.model.hand is not None else ["TEXT"]
    if others := sorted(asked - {*accepted}):
        raise invalid(
            f"the response modalities {', '.join(others)[:80]} are not supported by the model; "
            f"{hub.model_name} accepts {', '.join(accepted)}",
            "generationConfig.responseModalities",
        )
    if "IMAGE" in asked and grammar.of_config(config):
        raise invalid(
            "an answer with pictures cannot have a responseMimeType",
            "generationConfig.responseMimeType",
        )
    return frozenset(asked or {"TEXT"})


class Form:
    """What an answer must look like, and the functions declared."""

    def __init__(self, hub: Hub, body: wire.GenerateContentRequest):
        config = body.generation_config or wire.GenerationConfig()
        self.declared = check_tools(body.tools)
        check_config(config)
        self.modalities = modalities(hub, config)
        self.hub, self.grammar = hub, grammar.of_config(config)
        self.presence = config.presence_penalty or 0.0
        self.frequency = config.frequency_penalty or 0.0

    @property
    def pictures(self) -> bool:
        return "IMAGE" in self.modalities

    def guide(self) -> Guide | None:
        """For one answer; None where the model is free."""
        guides: list[Guide] = []
        if self.hub.model.hand is not None and not self.pictures:
            guides.append(_without(self.hub.model.tokenizer.control[BEGIN]))
        if self.presence or self.frequency:
            guides.append(_penalised(self.presence, self.frequency))
        if self.grammar is not None:
            guides.append(self.hub.grammars.guide(self.grammar))
        if not guides:
            return None

        def all_of_them(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
            for guide in guides:
                logits = guide(said, logits)
            return logits

        return all_of_them


def _without(token: int) -> Guide:
    def never(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(logits)) == token, FORBIDDEN, logits)

    return never


def _penalised(presence: float, frequency: float) -> Guide:
    """Off the logits of what was said already: once, and for each time."""

    def penalised(said: Sequence[int], logits: np.ndarray) -> np.ndarray:
        times = np.bincount(np.asarray(said, np.int64), minlength=len(logits))
        return logits - presence * (times > 0) - frequency * times

    return penalised
