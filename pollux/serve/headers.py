# SPDX-License-Identifier: Apache-2.0
"""Numbers in headers."""

import re

from starlette.datastructures import Headers

from pollux.serve.errors import invalid

NUMBER = re.compile("[0-9]{1,15}")


def number_in(headers: Headers, name: str, default: int) -> int:
    """The number of a header; `default` where there is none, ApiError for what is no number."""
    given = headers.get(name)
    if given is None:
        return default
    if not NUMBER.fullmatch(given):
        raise invalid(f"{name} must be a whole number, not {given[:40]!r}")
    return int(given)
