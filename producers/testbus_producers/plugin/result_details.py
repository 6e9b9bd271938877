"""What a result has beside its outcome: how bad a failure is and what its text tells, logs, steps, files."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.context.run_context import utc_text
from testbus_producers.files import redacted
from testbus_producers.redaction.cleaner import cut
from testbus_schemas.wire import MAX_METRIC_NAME, MAX_METRIC_UNIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest import CollectReport, TestReport  # noqa: PT013 only names for annotations

    from testbus_producers.redaction.cleaner import Cleaner


def add_recorded(result: dict[str, Any], recorded: Iterable[dict[str, Any]], clean: Cleaner) -> None:
    """Add log records and steps to a result: plain JSON data of `recording.Recording.carried`."""
    logs, steps = [], []
    for one in recorded:
        logs += [_record(record, clean) for record in one.get("logs", ())]
        steps += [_step(step, clean) for step in one.get("steps", ())]
    if logs:
        result["logs"] = logs
    if steps:
        result["steps"] = steps


def recorded_files(
    recorded: Iterable[dict[str, Any]], clean: Cleaner, *, node_id: str, attempt: int
) -> Iterator[dict[str, Any]]:
    """Yield the data of `artifact.recorded` of each file."""
    for one in recorded:
        for file in one.get("files", ()):
            data = {"node_id": node_id, "attempt": attempt, **file}
            if "content" in file:
                content = redacted(base64.b64decode(file["content"]), file["media_type"], clean.redact)
                data["content"] = base64.b64encode(content).decode()
            yield data


def recorded_metrics(recorded: Iterable[dict[str, Any]], clean: Cleaner, *, node_id: str) -> Iterator[dict[str, Any]]:
    """Yield the metrics that a test recorded, as `metrics.recorded` has them."""
    for one in recorded:
        for metric in one.get("metrics", ()):
            name, unit = clean.value(metric["name"])[:MAX_METRIC_NAME], clean.value(metric["unit"])[:MAX_METRIC_UNIT]
            yield {**metric, "name": name, "unit": unit, "node_id": node_id}


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
    described = {**step, "name": clean.value(step["name"]), "started_at": utc_text(step["started_at"])}
    if "logs" in step:
        described["logs"] = [_record(record, clean) for record in step["logs"]]
    if "steps" in step:
        described["steps"] = [_step(below, clean) for below in step["steps"]]
    return described


#: Bound of the failures of one result (a test may have many subtests).
_MAX_FAILURES: Final = 10

#: Bound in bytes of the texts of all failures of one result.
_MAX_TEXTS: Final = 64 * 1024

#: What pytest-timeout says in the exception by which it ends a test.
_TIMEOUT = re.compile(r"Timeout \(>[^)]*\) from pytest-timeout")


def badness(report: TestReport, failure: dict[str, Any]) -> str:
    """Return failed, timeout or error: only what the call itself did wrong is a failure."""
    if failure["type"] == "Failed" and _TIMEOUT.match(failure["message"]):
        return "timeout"
    return "failed" if report.when == "call" else "error"


def from_text(text: str, report: TestReport | CollectReport, phase: str | None) -> dict[str, Any]:
    """Return the failure of a report that came without an exception."""
    if phase == "???":
        kind = "WorkerCrashed"
    elif text.startswith("[XPASS(strict)]"):
        kind = "XPASS(strict)"
    else:
        kind = ""
    crash = getattr(report.longrepr, "reprcrash", None)
    recorded = crash.message if crash is not None else text
    if not kind:
        match = re.match(r"([A-Za-z_][\w.]*): ", recorded)
        kind, recorded = (match[1], recorded[match.end() :]) if match else ("", recorded)
    return {"phase": phase, "type": kind, "message": recorded}


def bounded(failures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first failures, with less text the more there are."""
    kept = list(failures)[:_MAX_FAILURES]
    if len(kept) > 1:
        for failure in kept:
            failure["text"] = cut(failure["text"], _MAX_TEXTS // len(kept))
    return kept
