# SPDX-License-Identifier: Apache-2.0
"""Batches: many requests handed in at once, answered one after another in the background.

A batch is batches/ID with requests.jsonl and results.jsonl, a line each. What was answered stays
answered: after a restart it goes on behind the last whole line of results.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError

from pollux.serve import embed, errors, files, generate, reply, wire
from pollux.serve.errors import ApiError, invalid, of_validation
from pollux.serve.hub import Hub, HubOf
from pollux.serve.reply import JsonReply
from pollux.serve.store import Record, after, now
from pollux.serve.work import Ticket, result

KEPT = 48 * 3_600.0  # seconds
REQUESTS, RESULTS = "requests.jsonl", "results.jsonl"
MOST_REQUESTS = 100_000
TYPE = "type.googleapis.com/google.ai.generativelanguage."
OVER = ("BATCH_STATE_SUCCEEDED", "BATCH_STATE_FAILED", "BATCH_STATE_CANCELLED")

router = APIRouter(tags=["batches"])
log = logging.getLogger(__name__)


@router.post("/models/{model}:batchGenerateContent", response_model=reply.Operation)
async def batch_generate(hub: HubOf, request: Request, model: str, body: wire.BatchRequest):
    """Many generateContent requests."""
    return await _create(hub, request, model, body.batch, "generate")


@router.post("/models/{model}:asyncBatchEmbedContent", response_model=reply.Operation)
async def batch_embed(hub: HubOf, request: Request, model: str, body: wire.BatchRequest):
    """Many embedContent requests."""
    return await _create(hub, request, model, body.batch, "embed")


async def _create(
    hub: Hub, request: Request, model: str, batch: wire.Batch, work: str
) -> JsonReply:
    hub.check_model(model)
    config = batch.input_config
    if (config.requests is None) == (config.file_name is None):
        raise invalid("give requests or fileName", "batch.inputConfig")
    ticket = hub.ticket(request)
    number = await result(
        hub.lane_of(request), ticket, request, lambda: _store(hub, model, batch, work)
    )
    start(hub, number)
    return JsonReply(described(hub, number, hub.batches.get(number)).json_object())


def _store(hub: Hub, model: str, batch: wire.Batch, work: str) -> str:
    number, count = hub.batches.new_id(), 0
    with hub.batches.making() as made:
        with open(made / REQUESTS, "w", encoding="utf-8") as file:
            for line in _lines(hub, batch.input_config):
                file.write(json.dumps(line) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        (made / RESULTS).touch()
        record: Record = {"created": now(), "updated": now(), "expires": after(KEPT)}
        record |= {"display": batch.display_name, "model": model.removeprefix("models/")}
        record |= {"work": work, "count": count, "failed": 0, "state": "BATCH_STATE_PENDING"}
        record |= {"from_file": batch.input_config.file_name is not None}
        hub.batches.add(number, made, record)
    return number


def _lines(hub: Hub, config: wire.InputConfig) -> Iterator[dict[str, Any]]:
    """What is asked, as {"request", "key" or "metadata"}."""
    if config.requests:
        for one in config.requests.requests:
            yield {"request": one.request, "metadata": one.metadata}
        return
    name = (config.file_name or "").removeprefix("files/")
    path = files.content_path(hub, name, hub.files.get(name))
    count = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(hub.settings.request_bytes):
            if not line.strip():
                continue
            count += 1
            if count > MOST_REQUESTS:
                raise invalid(f"a batch has at most {MOST_REQUESTS:,} requests")
            try:
                given = json.loads(line)
            except (ValueError, RecursionError):
                raise invalid(f"line {count} of files/{name} is no JSON") from None
            if not isinstance(given, dict) or not isinstance(given.get("request"), dict):
                raise invalid(f'line {count} of files/{name} needs a "request" object')
            yield {"request": given["request"], "key": given.get("key")}
    if not count:
        raise invalid(f"files/{name} has no requests")


def start(hub: Hub, number: str) -> None:
    ticket = Ticket.of(files.FOREVER)
    hub.batched.submit(ticket, lambda: _work(hub, number, ticket))


def start_waiting(hub: Hub) -> None:
    """After a start: batches that are not over."""
    for number, record in list(hub.batches.records.items()):
        if record["state"] not in OVER:
            start(hub, number)


def _work(hub: Hub, number: str, ticket: Ticket) -> None:
    try:
        if hub.batches.get(number)["state"] in OVER:
            return
        hub.batches.change(number, state="BATCH_STATE_RUNNING")
        done, failed = _whole_lines(hub.batches.path(number) / RESULTS)
        record = hub.batches.get(number)
        with (
            open(hub.batches.path(number) / REQUESTS, encoding="utf-8") as asked,
            open(hub.batches.path(number) / RESULTS, "a", encoding="utf-8") as results,
        ):
            for place, line in enumerate(asked):
                if place < done:
                    continue
                ticket.check()
                if hub.batches.get(number)["state"] in OVER:
                    return
                answered = _answer(hub, record, json.loads(line), ticket)
                failed += "error" in answered
                results.write(json.dumps(answered) + "\n")
                results.flush()
        _finish(hub, number, record, failed)
    except ApiError:
        return  # deleted meanwhile, or the server stops: it goes on after the next start
    except Exception:
        log.exception("batches/%s", number)
        if number in hub.batches.records:
            hub.batches.change(number, state="BATCH_STATE_FAILED")


def _finish(hub: Hub, number: str, record: Record, failed: int) -> None:
    file = ""
    if record["from_file"]:
        copy = hub.batches.path(number) / "responses.jsonl"
        shutil.copyfile(hub.batches.path(number) / RESULTS, copy)
        file = f"files/{files.add(hub, copy, f'batch-{number}.jsonl', 'application/jsonl')}"
        files.process(hub, file.removeprefix("files/"))
    state = "BATCH_STATE_FAILED" if failed == record["count"] else "BATCH_STATE_SUCCEEDED"
    hub.batches.change(number, state=state, failed=failed, ended=now(), file=file)


def _answer(hub: Hub, record: Record, line: dict[str, Any], ticket: Ticket) -> dict[str, Any]:
    """{"response"} or {"error"}, beside the key or metadata that came with the request."""
    about = {name: line[name] for name in ("key", "metadata") if line.get(name) is not None}
    one = Ticket(min(ticket.deadline, Ticket.of(hub.settings.seconds).deadline), ticket.cancelled)
    try:
        if record["work"] == "embed":
            asked = wire.EmbedContentRequest.model_validate(line["request"])
            [made] = embed.embeddings(hub, [asked], one)
            return about | {"response": {"embedding": made.json_object()}}
        body = wire.GenerateContentRequest.model_validate(line["request"])
        return about | {"response": generate.answered(hub, body, one).json_object()}
    except ValidationError as error:
        return about | {"error": of_validation(error.errors()).inner()}
    except Exception as error:
        if ticket.cancelled.is_set():
            raise
        generate.told(error)
        return about | {"error": errors.of(error).inner()}


def _whole_lines(path: Path) -> tuple[int, int]:
    """How many results are there, and how many of them are errors; a torn one is cut off."""
    whole = failed = size = 0
    with open(path, "r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole, size = whole + 1, size + len(line)
            failed += "error" in json.loads(line)
        file.truncate(size)
    return whole, failed


@router.get("/batches", response_model=reply.ListOperationsResponse)
def list_batches(
    hub: HubOf,
    page_size: Annotated[int | None, Query(alias="pageSize")] = None,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
) -> JsonReply:
    """The newest first."""
    found, token = hub.batches.page(page_size, page_token)
    operations = [described(hub, number, record, brief=True) for number, record in found]
    listed = reply.ListOperationsResponse(operations=operations, next_page_token=token or None)
    return JsonReply(listed.json_object())


@router.get("/batches/{number}", response_model=reply.Operation)
def get_batch(hub: HubOf, number: str) -> JsonReply:
    return JsonReply(described(hub, number, hub.batches.get(number)).json_object())


@router.post("/batches/{number}:cancel")
def cancel_batch(hub: HubOf, number: str) -> dict[str, Any]:
    """What was answered stays."""
    if hub.batches.get(number)["state"] not in OVER:
        hub.batches.change(number, state="BATCH_STATE_CANCELLED", ended=now())
    return {}


@router.delete("/batches/{number}")
def delete_batch(hub: HubOf, number: str) -> dict[str, Any]:
    hub.batches.remove(number)
    return {}


def described(hub: Hub, number: str, record: Record, brief: bool = False) -> reply.Operation:
    kind = "EmbedContentBatch" if record["work"] == "embed" else "GenerateContentBatch"
    done = record["state"] in OVER
    count, failed = record["count"], record["failed"]
    over = {"successfulRequestCount": str(count - failed), "failedRequestCount": str(failed)}
    metadata = {
        "@type": TYPE + kind,
        "name": f"batches/{number}",
        "model": f"models/{record['model']}",
        "displayName": record["display"],
        "state": record["state"],
        "createTime": record["created"],
        "updateTime": record["updated"],
        "endTime": record.get("ended"),
        "batchStats": {"requestCount": str(count)} | (over if done else {}),
    }
    output = None if brief or not done else _output(hub, number, record)
    metadata |= {"output": output} if output else {}
    error = {"code": 3, "message": "no request of the batch could be answered"}
    return reply.Operation(
        name=f"batches/{number}",
        metadata={name: value for name, value in metadata.items() if value is not None},
        done=done,
        response={"@type": TYPE + kind + "Output", **output} if output else None,
        error=error if record["state"] == "BATCH_STATE_FAILED" else None,
    )


def _output(hub: Hub, number: str, record: Record) -> dict[str, Any]:
    if record["from_file"]:
        return {"responsesFile": record["file"]} if record.get("file") else {}
    with open(hub.batches.path(number) / RESULTS, encoding="utf-8") as file:
        results = [json.loads(line) for line in file if line.endswith("\n")]
    name = "inlinedEmbedContentResponses" if record["work"] == "embed" else "inlinedResponses"
    return {name: {"inlinedResponses": results}}
