# SPDX-License-Identifier: Apache-2.0
"""Requests with something wrong in them: bodies, numbers, encodings, headers, methods, uploads.

Each is made of its number and a seed, so one that broke something can be sent again. A server
answers every one with what is wrong, or closes the connection; never with a failure of its own.
"""

import copy
import json
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

ODD: tuple[Any, ...] = (None, True, -1, 0, 3.5, 1e300, 2**70, "", "x", "\ud800", "\0", "²")
ODD += ("models/../..", "9" * 400, "files/x", "cachedContents/x", [], [[]], {}, {"x": 1})
ODD += ({"text": 5}, ["a", 1], float("nan"), float("-inf"), "\u202e", "a" * 20_000)
GENERATE = "/v1beta/models/spark:generateContent"
ASKED = [{"role": "user", "parts": [{"text": "The code is 5."}, {"text": "What is the code?"}]}]
BODIES: dict[str, dict[str, Any]] = {
    GENERATE: {
        "contents": ASKED,
        "generationConfig": {
            "temperature": 0.5,
            "maxOutputTokens": 2,
            "stopSequences": ["x"],
            "responseMimeType": "application/json",
            "responseSchema": {
                "type": "OBJECT",
                "properties": {"a": {"type": "BOOLEAN"}},
                "required": ["a"],
            },
        },
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
        ],
        "systemInstruction": {"parts": [{"inlineData": {"mimeType": "text/plain", "data": "YQ"}}]},
    },
    "/v1beta/models/spark:streamGenerateContent": {
        "contents": ASKED,
        "generationConfig": {"maxOutputTokens": 2},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "d",
                        "parameters": {
                            "type": "OBJECT",
                            "properties": {"a": {"type": "STRING", "enum": ["x", "5"]}},
                            "required": ["a"],
                        },
                    },
                    {"name": "g", "parametersJsonSchema": {"type": "object"}},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    },
    "/v1beta/models/spark:countTokens": {"contents": ASKED},
    "/v1beta/models/spark:embedContent": {"content": {"parts": [{"text": "a"}]}},
    "/v1beta/models/spark:batchEmbedContents": {
        "requests": [{"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}]
    },
    "/v1beta/cachedContents": {"model": "models/spark", "ttl": "3s", "contents": ASKED},
    "/v1beta/models/spark:batchGenerateContent": {
        "batch": {"displayName": "d", "inputConfig": {"requests": {"requests": [{"request": 1}]}}}
    },
    "/upload/v1beta/files": {"file": {"name": "files/x", "mimeType": "a/b", "sizeBytes": 5}},
    "/openai/v1/chat/completions": {
        "model": "spark",
        "messages": [
            {"role": "system", "content": "The code is 5."},
            {"role": "user", "content": [{"type": "text", "text": "What?"}]},
        ],
        "max_tokens": 2,
        "stop": "x",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
        "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "f"}}],
    },
}
PATHS = (
    *BODIES,
    "/",
    "/health",
    "/openapi.json",
    "/v1/models",
    "/v1/models/spark",
    "/v1beta/files",
    "/v1beta/files/abc",
    "/v1beta/files/abc:download",
    "/v1beta/cachedContents/abc",
    "/v1beta/batches",
    "/v1beta/batches/abc:cancel",
    "/openai/v1/models",
    "/assets/index.js",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO", "get")
COMMANDS = ("start", "upload", "upload, finalize", "finalize", "query", "cancel", "dance", "")
OFFSETS = ("0", "-1", "1", "9" * 50, "²", "x", "0x1", " ")
HEADERS = (
    "host: [",
    "host:",
    "host: localhost:99999999",
    "origin: http://[",
    "origin: null",
    "x-server-timeout: ²",
    "x-server-timeout: " + "9" * 400,
    "x-server-timeout: -1",
    "x-goog-api-key: \xff\xfe",
    "authorization: Bearer \x01",
    "content-type: text/plain",
    "content-type: multipart/form-data",
    "content-type: application/json; charset=utf-16",
    "content-encoding: gzip",
    "content-length: 7",
    "content-length: -5",
    "content-length: 9x",
    "content-length: " + "9" * 30,
    "transfer-encoding: chunked",
    "transfer-encoding: gzip, chunked",
    "expect: 100-continue",
    "upgrade: websocket\r\nconnection: upgrade",
    "accept: image/png",
    "range: bytes=-999999999999",
    "no colon here",
    ": no name",
    "x: " + "y" * 70_000,
    "x y: z",
    "x: a\x00b",
    "cookie: " + "a=b;" * 3_000,
)
DOCUMENTED = 501, 503, 504  # left out, shutting down, longer than the client gave it
GIVEN = 10  # seconds that a client gives an answer: a lost limit makes a long one
Random = random.Random


@dataclass(frozen=True)
class Made:
    """A request as it goes over the wire. `cut`: the connection is closed before its end."""

    what: str
    data: bytes
    cut: bool = False


@dataclass
class Tally:
    """Answers by their status; 0: the connection was closed without one."""

    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def note(self, number: int, made: Made, status: int | None) -> None:
        """`status` None: neither an answer nor an end came in time."""
        told = 0 if status is None else status
        self.statuses[told] = self.statuses.get(told, 0) + 1
        if status is None or (status >= 500 and status not in DOCUMENTED):
            self.failures.append(f"number {number} ({made.what}): {status or 'no answer'}")


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a body."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from nodes(value[key], (*path, key))


def spoilt(body: dict[str, Any], rng: Random) -> dict[str, Any]:
    """With something odd in one place."""
    made = copy.deepcopy(body)
    *before, last = rng.choice([path for path in nodes(made) if path])
    at: Any = made
    for key in before:
        at = at[key]
    match rng.randrange(4):
        case 0 if isinstance(at, dict):
            at[rng.choice(["x", "snake_case", "", "\ud800"])] = at.pop(last)
        case 1:
            del at[last]
        case _:
            at[last] = rng.choice(ODD)
    return made


def request(number: int, seed: int = 0) -> Made:
    rng = Random(f"{seed}-{number}")
    what = rng.choice([*KINDS])
    return KINDS[what](rng)


def exchange(host: str, port: int, made: Made, seconds: float) -> int | None:
    """The status of the answer; 0 where the connection ended without one, None: nothing came."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as sock:
            try:
                sock.sendall(made.data)
                if made.cut:
                    sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was told to stop, and said why
            return _status(sock)
    except TimeoutError:
        return None
    except ConnectionResetError:
        return 0


def _status(sock: socket.socket) -> int:
    """Of the last head of an answer (100 may come first); the rest is read to its end."""
    told = bytearray()
    while len(told) < 1 << 24:
        data = sock.recv(65_536)
        if not data:
            break
        told += data
    lines = [line for line in bytes(told).split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return int(lines[-1].split()[1]) if lines else 0


def _wire(
    method: str, path: str, body: bytes, headers: tuple[str, ...] = (), cut: bool = False
) -> bytes:
    """All one request of a connection, which is then closed."""
    names = {line.split(":")[0].strip().lower() for line in headers}
    lines = [f"{method} {path} HTTP/1.1", "connection: close"]
    lines += [] if "host" in names else ["host: localhost"]
    lines += [] if "content-type" in names else ["content-type: application/json"]
    lines += [] if "x-server-timeout" in names else [f"x-server-timeout: {GIVEN}"]
    if not {"content-length", "transfer-encoding"} & names:
        lines.append(f"content-length: {len(body) + 50 * cut}")
    head = "\r\n".join([*lines, *headers])
    return head.encode("latin-1", "replace") + b"\r\n\r\n" + body


def _body(rng: Random) -> tuple[str, bytes]:
    path = rng.choice([*BODIES])
    return path, json.dumps(BODIES[path]).encode()


def _upload_headers(rng: Random) -> tuple[str, ...]:
    return (
        "x-goog-upload-protocol: " + rng.choice(["resumable", "raw", "multipart", ""]),
        "x-goog-upload-command: " + rng.choice(COMMANDS),
        "x-goog-upload-offset: " + rng.choice(OFFSETS),
        "x-goog-upload-header-content-length: " + rng.choice(OFFSETS),
        "x-goog-upload-header-content-type: " + rng.choice(["text/plain", "\xff", "a" * 999, ""]),
        "x-goog-upload-file-name: " + rng.choice(["../../x", "\xe9", "a.txt", "a" * 999]),
    )


def _values(rng: Random) -> Made:
    path = rng.choice([*BODIES])
    start = ("x-goog-upload-protocol: resumable", "x-goog-upload-command: start")
    body = json.dumps(spoilt(BODIES[path], rng)).encode()
    return Made("values", _wire("POST", path, body, start if "upload" in path else ()))


def _text(rng: Random) -> Made:
    """JSON with bytes changed, doubled or lost."""
    path, body = _body(rng)
    data = bytearray(body)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 20)]
            case _:
                data[at:at] = rng.choice([b"\0", b'"', b"{", b"]", b"\xff\xfe", b"\\u", b",,"])
        data = data or bytearray(b"{")
    return Made("text", _wire("POST", path, bytes(data)))


def _deep(rng: Random) -> Made:
    path, many = rng.choice([*BODIES]), rng.choice([50, 900, 5_000, 100_000])
    inner = rng.choice([b"[", b'{"a":', b'{"contents":[', b'{"parts":'])
    ends = b"]" * many if inner == b"[" else b""
    whole = inner * many + ends
    if rng.random() < 0.4:
        whole = b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":{"a":' + whole
    if rng.random() < 0.3:
        levels = b'{"type":"ARRAY","items":' * many + b"{}" + b"}" * many
        whole = b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"responseMimeType":'
        whole += b'"application/json","responseSchema":' + levels + b"}}"
    return Made("deep", _wire("POST", path, whole))


def _numbers(rng: Random) -> Made:
    path, body = _body(rng)
    found = [at for at, byte in enumerate(body) if byte in b"0123456789"]
    huge = rng.choice([b"1e999", b"-1e999", b"9" * 5_000, b"0.0000001e-999", b"1E+", b"NaN", b"0x"])
    if found:
        at = rng.choice(found)
        body = body[:at] + huge + body[at + 1 :]
    return Made("numbers", _wire("POST", path, body))


def _encodings(rng: Random) -> Made:
    path, body = _body(rng)
    name = rng.choice(["utf-16", "utf-32", "utf-7", "cp037"])
    kind = rng.choice(["", "; charset=utf-8", f"; charset={name}", "; charset=nothing"])
    data = rng.choice([body.decode().encode(name), b"\xef\xbb\xbf" + body, b"\x1f\x8b" + body])
    return Made("encodings", _wire("POST", path, data, (f"content-type: application/json{kind}",)))


def _uploads(rng: Random) -> Made:
    path = "/upload/v1beta/files" + rng.choice(
        ["", "?upload_id=abc", "?upload_id=../../x", "?upload_id=%00", "?uploadType=multipart"]
    )
    body = rng.choice([b"", b"a", b"{no json", b"a" * 100_000, b'{"file":{"sizeBytes":"x"}}'])
    method = rng.choice(["POST", "PUT", "POST"])
    return Made("uploads", _wire(method, path, body, _upload_headers(rng)))


def _headers(rng: Random) -> Made:
    path, body = _body(rng)
    some = tuple(rng.sample(HEADERS, rng.randrange(1, 4)))
    cut = any("content-length" in line or "transfer" in line for line in some)
    return Made("headers", _wire("POST", path, body, some), cut=cut)


def _methods(rng: Random) -> Made:
    return Made("methods", _wire(rng.choice(METHODS), rng.choice(PATHS), b"{}"))


def _paths(rng: Random) -> Made:
    odd = ("%00", "%ff", "/../../etc/passwd", "//", "?" + "a=b&" * 200, "?alt=%ff", ":", "%2e%2e/")
    odd += (
        "?pageSize=x",
        "?pageSize=-1",
        "?pageToken=%00",
        "?key=%F0",
        "a" * 9_000,
        "?alt=sse&alt=x",
    )
    path = rng.choice(PATHS)
    at = rng.randrange(1, len(path) + 1)
    path = path[:at] + rng.choice(odd) + path[at:] if rng.random() < 0.6 else path + rng.choice(odd)
    method = rng.choice(["GET", "POST", "DELETE", "PATCH"])
    return Made("paths", _wire(method, path, b"{}"))


def _truncated(rng: Random) -> Made:
    path, body = _body(rng)
    headers = _upload_headers(rng) if "upload" in path else ()
    whole = _wire("POST", path, body, headers, cut=rng.random() < 0.7)
    return Made("truncated", whole[: rng.randrange(1, len(whole))], cut=True)


def _noise(rng: Random) -> Made:
    data = rng.randbytes(rng.randrange(1, 4_000))
    before = rng.choice(
        [b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n"]
    )
    return Made("noise", before + data, cut=True)


def _chunks(rng: Random) -> Made:
    path, body = _body(rng)
    chunk = rng.choice([b"zz\r\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"5;" + b"a" * 9_000, b"0"])
    ends = rng.choice([b"\r\n0\r\n\r\n", b"", b"\r\n"])
    data = _wire("POST", path, chunk + body + ends, ("transfer-encoding: chunked",))
    return Made("chunks", data, cut=True)


KINDS: dict[str, Callable[[Random], Made]] = {
    "values": _values,
    "text": _text,
    "deep": _deep,
    "numbers": _numbers,
    "encodings": _encodings,
    "uploads": _uploads,
    "headers": _headers,
    "methods": _methods,
    "paths": _paths,
    "truncated": _truncated,
    "noise": _noise,
    "chunks": _chunks,
}
