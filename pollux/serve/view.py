# SPDX-License-Identifier: Apache-2.0
"""How a request wants pictures, sound and film looked at: mediaResolution and videoMetadata."""

import re

from pollux.errors import InputError
from pollux.media.resolution import Resolution
from pollux.media.view import VIEW, View
from pollux.serve import wire
from pollux.serve.errors import invalid

LEVELS: dict[str, Resolution] = {
    "MEDIA_RESOLUTION_UNSPECIFIED": VIEW.resolution,
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_MEDIUM": "medium",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "high",  # the highest there is
}
OFFSET = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def of_config(config: wire.GenerationConfig | None) -> Resolution:
    """What holds for every part that does not say for itself. ApiError for an unknown level."""
    level = config.media_resolution if config else None
    return _resolution(level, "generationConfig.mediaResolution") or VIEW.resolution


def of_part(part: wire.Part, resolution: Resolution, field: str) -> View:
    """ApiError for what cannot be."""
    given = part.media_resolution
    level = given.get("level") if isinstance(given, dict) else given
    cut = part.video_metadata or wire.VideoMetadata()
    if part.video_metadata and not (part.inline_data or part.file_data):
        raise invalid("videoMetadata is for film and sound", f"{field}.videoMetadata")
    end = None if cut.end_offset is None else _seconds(cut.end_offset, f"{field}.endOffset")
    try:
        return View(
            resolution=_resolution(level, f"{field}.mediaResolution") or resolution,
            fps=VIEW.fps if cut.fps is None else cut.fps,
            start=_seconds(cut.start_offset or "0s", f"{field}.startOffset"),
            end=end,
        )
    except InputError as error:
        raise invalid(str(error), f"{field}.videoMetadata") from None


def _resolution(level: object, field: str) -> Resolution | None:
    if level is None:
        return None
    if not isinstance(level, str) or level not in LEVELS:
        raise invalid(f"{str(level)[:60]!r} is no level; there are {', '.join(LEVELS)}", field)
    return LEVELS[level]


def _seconds(offset: str, field: str) -> float:
    found = OFFSET.fullmatch(offset)
    if not found:
        raise invalid(f"{offset[:40]!r} is no offset, as in 12.5s", field)
    return float(found[1])
