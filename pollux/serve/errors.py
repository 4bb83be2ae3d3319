# SPDX-License-Identifier: Apache-2.0
"""What went wrong, as clients of Google's APIs expect it: google.rpc.Status in JSON."""

from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException

from pollux.errors import BusyError, InputError, SpaceError

CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# The numbers of google.rpc.Code, where an error is told within a reply.
NUMBERS = {"CANCELLED": 1, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5}
NUMBERS |= {"ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8}
NUMBERS |= {"FAILED_PRECONDITION": 9, "UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14}
RETRY = 2  # seconds after which it is worth asking again
TYPE = "type.googleapis.com/google.rpc."


class ApiError(HTTPException):
    """`status` is a key of CODES. An HTTPException, so that FastAPI hands it on as it is."""

    def __init__(self, status: str, message: str, details: Sequence[dict[str, Any]] = ()):
        super().__init__(CODES[status], message)
        self.status, self.message, self.details = status, message, list(details)

    def body(self) -> dict[str, Any]:
        error = {"code": self.status_code, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}

    def inner(self) -> dict[str, Any]:
        """As a part of a reply that is no failure itself."""
        return {"code": NUMBERS.get(self.status, 2), "message": self.message}


def invalid(message: str, field: str = "") -> ApiError:
    """What the client sent cannot be used; `field` is where it stands, as in contents[0].parts."""
    violation = {"field": field, "description": message}
    details = [{"@type": TYPE + "BadRequest", "fieldViolations": [violation]}] if field else []
    return ApiError("INVALID_ARGUMENT", message, details)


def not_found(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"there is no {name[:200]!r} here, or it has expired")


def missing(what: str, reason: str) -> ApiError:
    """Something of the API that this server leaves out."""
    return ApiError("UNIMPLEMENTED", f"{what} is not supported: {reason}")


def busy() -> ApiError:
    """Too much is waiting already."""
    retry = {"@type": TYPE + "RetryInfo", "retryDelay": f"{RETRY}s"}
    return ApiError("RESOURCE_EXHAUSTED", f"too many requests wait; try in {RETRY} s", [retry])


def wrong_key() -> ApiError:
    info = {"@type": TYPE + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "pollux"}
    return ApiError(
        "UNAUTHENTICATED",
        "the API key is missing or wrong; send it as x-goog-api-key, ?key= or a Bearer token",
        [info],
    )


def of(error: Exception) -> ApiError:
    """Any exception as what the client is told; of the server's own troubles no more than that."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InputError):
        return ApiError("INVALID_ARGUMENT", str(error))
    if isinstance(error, BusyError):
        return busy()
    if isinstance(error, SpaceError):
        return ApiError("RESOURCE_EXHAUSTED", "the server's disk is full; delete files or caches")
    if isinstance(error, HTTPException):
        names = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
        return ApiError(names.get(error.status_code, "INVALID_ARGUMENT"), str(error.detail))
    return ApiError("INTERNAL", "something went wrong in the server; its log says what")


def of_validation(errors: Sequence[Any]) -> ApiError:
    """What pydantic found, each with the field it stands in."""
    violations = [
        {"field": _path(error["loc"]), "description": _told(error)} for error in errors[:8]
    ]
    first = violations[0] if violations else {"field": "", "description": "cannot be read"}
    message = f"invalid JSON payload: {first['description']}"
    if first["field"]:
        message += f" (at {first['field']})"
    return ApiError(
        "INVALID_ARGUMENT",
        message,
        [{"@type": TYPE + "BadRequest", "fieldViolations": violations}],
    )


def _path(location: Sequence[str | int]) -> str:
    """("body", "contents", 0, "parts") is contents[0].parts."""
    out = ""
    for step in location[1:] if location[:1] == ("body",) else location:
        out += f"[{step}]" if isinstance(step, int) else f".{str(step)[:80]}" if out else str(step)
    return out


def _told(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f'unknown name "{str(error["loc"][-1])[:80]}": there is no such field'
    return str(error["msg"])[:300]
