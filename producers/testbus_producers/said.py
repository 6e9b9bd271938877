"""From what a test said to what is published of it: log records, steps, files. Secrets are removed here."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from testbus_producers.context import utc_text
from testbus_producers.files import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_producers.text import Cleaner


def add(result: dict[str, Any], said: Iterable[dict[str, Any]], clean: Cleaner) -> None:
    """Add log records and steps to a result: plain JSON data of `recording.Recording.carried`."""
    logs, steps = [], []
    for one in said:
        logs += [_record(record, clean) for record in one.get("logs", ())]
        steps += [_step(step, clean) for step in one.get("steps", ())]
    if logs:
        result["logs"] = logs
    if steps:
        result["steps"] = steps


def files(said: Iterable[dict[str, Any]], clean: Cleaner, *, node_id: str, attempt: int) -> Iterator[dict[str, Any]]:
    """Yield the data of `artifact.recorded` of each file."""
    for one in said:
        for file in one.get("files", ()):
            data = {"node_id": node_id, "attempt": attempt, **file}
            if "content" in file:
                content = redacted(base64.b64decode(file["content"]), file["media_type"], clean.redact)
                data["content"] = base64.b64encode(content).decode()
            yield data


def has_logs(result: dict[str, Any]) -> bool:
    """Tell whether a result has log records, its own or those of a step."""
    return "logs" in result or any(has_logs(step) for step in result.get("steps", ()))


def _record(record: dict[str, Any], clean: Cleaner) -> dict[str, Any]:
    return {
        "time": utc_text(record["time"]),
        "level": record["level"],
        "message": clean.record(record["message"]),
        "logger": record["logger"],
    }


def _step(step: dict[str, Any], clean: Cleaner) -> dict[str, Any]:
    told = {**step, "name": clean.value(step["name"]), "started_at": utc_text(step["started_at"])}
    if "logs" in step:
        told["logs"] = [_record(record, clean) for record in step["logs"]]
    if "steps" in step:
        told["steps"] = [_step(below, clean) for below in step["steps"]]
    return told
