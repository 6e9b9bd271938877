"""What people see of a launch, without what differs from server to server: for tests that compare launches."""

from __future__ import annotations

import json
import urllib.request
from collections import deque
from itertools import cycle
from typing import TYPE_CHECKING, Any

from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Attribute, Item, Launch, LogEntry
    from testbus_schemas import Event, EventData

#: Seconds after which nothing turns up any more of a request that was given up (`logs.settling`, with these targets).
SETTLED_S = 5.0

#: Rounds after which events that are still put off would be put off for ever.
_ROUNDS = 50


def pairs(attributes: Iterable[Attribute]) -> list[tuple[str, str]]:
    """Return the attributes that people see, sorted."""
    return sorted((one.key or "", one.value) for one in attributes if not one.system)


def look(launch: Launch) -> dict[str, Any]:
    """Return everything that people see of a launch."""
    by_uuid = {item.uuid: item for item in launch.items}
    return {
        "launch": (launch.name, launch.status, launch.start_time, launch.end_time, launch.description),
        "attributes": pairs(launch.attributes),
        "logs": _logs(launch.logs),
        "items": sorted(_item(item, by_uuid) for item in launch.items),
    }


def tree(launch: Launch) -> list[tuple[tuple[str, ...], str, str]]:
    """Return (names from the root, type, status) of every item but retries, sorted."""
    by_uuid = {item.uuid: item for item in launch.items}
    return sorted((_path(item, by_uuid), item.type, item.status) for item in launch.items if item.retry_of is None)


def deliver_all(workers: ConsumerHarness | Iterable[ConsumerHarness], events: Iterable[Event[EventData]]) -> None:
    """Deliver events in their order, to the workers in turn; those that are put off again, until all are done."""
    workers = list(workers) if not isinstance(workers, ConsumerHarness) else [workers]
    turns = cycle(workers)
    waiting = deque(events)
    rounds = len(waiting) * _ROUNDS
    while waiting:
        event, worker = waiting.popleft(), next(turns)
        settlement = worker.deliver(event)
        assert not isinstance(settlement, DeadLetter), settlement
        if not isinstance(settlement, Acknowledge):
            worker.run_timers(5)
            waiting.append(event)
        rounds -= 1
        assert rounds, f"still put off: {event.name}: {settlement}"
    for worker in workers:
        worker.run_timers(60)


def send(portal: ReportPortalServer, method: str, path: str, body: object) -> dict[str, Any]:
    """Do something on ReportPortal that the consumer does not know of, and return the answer."""
    request = urllib.request.Request(
        f"{portal.url}/api/v1/{portal.project}/{path}",
        method=method,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {portal.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        answer: Any = json.loads(response.read())
    return answer if isinstance(answer, dict) else {}


def triage(portal: ReportPortalServer, item: int, issue: str, comment: str) -> None:
    """Set an item's defect, as a person does on the page."""
    issues = [{"testItemId": item, "issue": {"issueType": issue, "comment": comment}}]
    send(portal, "PUT", "item", {"issues": issues})


def only(portal: ReportPortalServer) -> Launch:
    """Return the only launch of a server."""
    (launch,) = portal.launches
    return launch


def _path(item: Item, by_uuid: dict[str, Item]) -> tuple[str, ...]:
    above = _path(by_uuid[item.parent], by_uuid) if item.parent else ()
    return (*above, item.name)


def _item(item: Item, by_uuid: dict[str, Item]) -> tuple[Any, ...]:
    retry_of = by_uuid[item.retry_of] if item.retry_of else None
    issue = item.issue
    return (
        _path(item, by_uuid),
        pairs(item.attributes),
        item.type,
        item.status,
        item.start_time,
        str(item.end_time),
        item.code_ref or "",
        item.test_case_id or "",
        item.description or "",
        item.parameters,
        (issue.issue_type, issue.comment or "", sorted(one.ticket_id for one in issue.external)) if issue else (),
        (retry_of.name, pairs(retry_of.attributes)) if retry_of else (),
        _logs(item.logs),
    )


def _logs(logs: Iterable[LogEntry]) -> list[tuple[Any, ...]]:
    return sorted((log.time, log.level, log.message, log.attachment.content if log.attachment else b"") for log in logs)
