"""Steps of a test: nested items below its own, which count in no statistics; two requests for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reportportal_client.core.rp_requests import ItemFinishRequest, ItemStartRequest

from testbus_consumers.reportportal.launch_payloads import CUT, milliseconds
from testbus_consumers.reportportal.text import ITEM_NAME, fit
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.tree import Identities
    from testbus_schemas import LogRecord, ResultKey, Step

#: Status of an item by the outcome of its result. An expected failure is SKIPPED and an unexpected pass is PASSED, as
#: the pytest agent has it.
STATUSES: Final = {
    Outcome.PASSED: "PASSED",
    Outcome.XPASSED: "PASSED",
    Outcome.FAILED: "FAILED",
    Outcome.ERROR: "FAILED",
    Outcome.TIMEOUT: "FAILED",
    Outcome.UNKNOWN: "FAILED",
    Outcome.SKIPPED: "SKIPPED",
    Outcome.XFAILED: "SKIPPED",
    Outcome.NOT_RUN: "SKIPPED",
    Outcome.NOT_REPORTED: "INTERRUPTED",
}


@dataclass(frozen=True, kw_only=True)
class StepText:
    """Everything that a step's item is made of."""

    #: Its uuid.
    uuid: str
    #: uuid of the test or step that it is in.
    parent: str
    #: uuid of the launch.
    launch: str
    #: Its name.
    name: str
    #: When it started, in milliseconds since the epoch: not before what it is in.
    start_ms: int
    #: When it ended.
    end_ms: int
    #: Its status.
    status: str
    #: What was logged in it.
    logs: tuple[LogRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Above:
    """What steps are in."""

    #: uuid of its item.
    uuid: str
    #: uuid of the launch.
    launch: str
    #: When it started, in milliseconds since the epoch.
    start_ms: int


def steps_of(steps: tuple[Step, ...], above: Above, ids: Identities, key: ResultKey) -> tuple[StepText, ...]:
    """Return the steps of a result, each before its own ones."""
    flat = list(_flattened(steps, None))
    made: list[StepText] = []
    for number, (step, parent) in enumerate(flat):
        over = above if parent is None else made[parent]
        began = milliseconds(step.started_at) if step.started_at else over.start_ms
        start_ms = max(began, over.start_ms)
        made.append(
            StepText(
                uuid=ids.step(key, number),
                parent=over.uuid,
                launch=above.launch,
                name=fit(step.name, ITEM_NAME) if step.name.strip() else "step",
                start_ms=start_ms,
                end_ms=start_ms + int(step.duration_s * 1000),
                status=STATUSES[step.outcome],
                logs=step.logs,
            )
        )
    return tuple(made)


def _flattened(steps: tuple[Step, ...], parent: int | None) -> Iterator[tuple[Step, int | None]]:
    """Yield each step with the number of the one that it is in, None for the test."""
    numbered = 0 if parent is None else parent + 1
    for step in steps:
        number = numbered
        yield step, parent
        numbered += 1
        for below, above in _flattened(step.steps, number):
            yield below, above
            numbered += 1


async def report(api: Api, steps: tuple[StepText, ...]) -> None:
    """Report the steps of a test that has started and not ended; done again, it changes nothing."""
    for step in steps:
        await api.start_item(_start(step), step.parent)
    for step in reversed(steps):
        await api.finish_item(step.uuid, _finish(step), step.name)


def _start(step: StepText) -> dict[str, Any]:
    request = ItemStartRequest(
        name=step.name,
        start_time=str(step.start_ms),
        type_="STEP",
        launch_uuid=step.launch,
        attributes=None,
        code_ref=None,
        description=None,
        has_stats=False,
        parameters=None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        uuid=step.uuid,
        **CUT,
    )
    return dict(request.payload)


def _finish(step: StepText) -> dict[str, Any]:
    request = ItemFinishRequest(
        end_time=str(step.end_ms),
        launch_uuid=step.launch,
        status=step.status,
        attributes=None,
        description=None,
        is_skipped_an_issue=True,  # it has no defect: its test has
        issue=None,
        retry=None,
        retry_of=None,
        test_case_id=None,
        **CUT,
    )
    return dict(request.payload)
