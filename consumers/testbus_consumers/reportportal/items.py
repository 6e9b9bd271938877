"""Items of results: two requests for each test and step, as many in flight as the target allows, and nothing twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from testbus_consumers.reportportal import defects, item_payloads, launches, suites, tree
from testbus_consumers.reportportal.errors import AnswerError, NotThereError, RefusedError
from testbus_consumers.reportportal.item_payloads import ItemText
from testbus_consumers.reportportal.state import flaky_among, waited_enough
from testbus_schemas import fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.client import KnownLaunch, PortalEffects, ReportPortalClient
    from testbus_consumers.reportportal.defects import Defects
    from testbus_consumers.reportportal.item_payloads import StepText
    from testbus_consumers.reportportal.tree import Identities, Suite
    from testbus_schemas import Event, ResultKey, ResultsRecorded

log = structlog.get_logger(__name__)

#: Status of items that were in progress when a person stopped their launch.
_STOPPED: Final = "INTERRUPTED"

#: What ReportPortal puts on an item that ended because its launch did: not what its test said. With steps below it the
#: item may be FAILED, or PASSED, for that.
_INTERRUPTED: Final = {"key": "status", "value": "interrupted"}


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Reports the items of one event."""

    #: The target's client.
    client: ReportPortalClient
    #: Which failures are which defects.
    defects: Defects
    #: Whether a skipped test waits for a person.
    skipped_is_issue: bool
    #: uuid of the suite of retried tests that have none of their own.
    retried: str
    #: Whether to report a further attempt although the one before it is not there.
    alone: bool
    #: Names of items that were ended before their results came, by whoever stopped the launch, and stay as they are.
    stopped: list[str] = field(default_factory=list)

    async def attempts(self, api: Api, items: Sequence[ItemText]) -> dict[str, AnswerError]:
        """Report the attempts of one test in their order, and return what went wrong, by uuid of the item."""
        wrong: dict[str, AnswerError] = {}
        there = ""
        for item in items:
            try:
                await self._report(api, item, there)
            except (NotThereError, RefusedError) as error:
                wrong[item.uuid] = error
            else:
                there = item.uuid
        return wrong

    async def _report(self, api: Api, item: ItemText, there: str) -> None:
        started = await self._start_retry(api, item, there) if item.retry_of else await self._start(api, item)
        ended = None if started else await _ended(api, item)
        if ended is not None and _INTERRUPTED not in ended.get("attributes", ()):
            # Finished by an earlier attempt, and perhaps triaged since: a second finish would undo that.
            if ended["status"] == _STOPPED:
                self.stopped.append(item.name)
            return
        await _report_steps(api, item.steps)
        status = item_payloads.STATUSES[item.result.outcome]
        if ended is not None and status != _STOPPED:
            # A second finish corrects the item alone; a status that is changed corrects its suites and launch as well.
            await api.update_item(ended["id"], {"status": status}, f"item {item.name}")
        await self._finish(api, item)

    async def _start(self, api: Api, item: ItemText) -> bool:
        return await api.start_item(item_payloads.start(item), item.home)

    async def _start_retry(self, api: Api, item: ItemText, there: str) -> bool:
        """Start a further attempt; `there` is the uuid of an attempt that is surely there, "" for none.

        Looked for first: in the place of one that it does not find, ReportPortal takes any item of that name below the
        same suite, another variant's too.
        """
        before = there if there == item.retry_of else await _current(api, item)
        home = item.home or self.retried
        if before is not None:
            return await api.start_item(item_payloads.start(item, retry_of=before), home)
        if not item.retry_sure:
            return await self._start(api, item)
        if not self.alone:
            raise NotThereError(f"the attempt before attempt {item.result.attempt} of {item.name}")
        return await api.start_item(item_payloads.start(item), home)

    async def _finish(self, api: Api, item: ItemText) -> None:
        issue = item_payloads.issue_of(item, self.defects, skipped_is_issue=self.skipped_is_issue)
        try:
            await api.finish_item(item.uuid, item_payloads.finish(item, issue), item.name)
        except RefusedError as error:
            if issue is None or issue.issue_type == defects.TO_INVESTIGATE:
                raise
            # Perhaps the type of defect is no more: the result is not given up for that.
            self.client.types.drop()
            log.warning("defect not taken", item=item.name, reason=str(error))
            await api.finish_item(item.uuid, item_payloads.finish(item, defects.refused(issue, error)), item.name)


def texts_of(
    effects: PortalEffects, event: Event[ResultsRecorded], launch: KnownLaunch, ids: Identities
) -> list[ItemText]:
    """Return the items of an event, in its order."""
    context, results = event.data.context, event.data.results
    bad = {result.node_id for result in results if result.outcome.bad}
    shaky = flaky_among(effects, context, bad) if bad else set()
    texts = []
    for result in results:
        key = result.key(context)
        start_ms, end_ms = item_payloads.times(result, event.time, launch.start_ms)
        above = item_payloads.Above(uuid=ids.item(key), launch=ids.launch, start_ms=start_ms)
        texts.append(
            ItemText(
                uuid=above.uuid,
                place=tree.place(effects.settings.tree, result.node_id, ids),
                retry_of=ids.item(before) if (before := _before(key)) else None,
                retry_sure=key.attempt > 1,
                result=result,
                context=context,
                launch=ids.launch,
                start_ms=start_ms,
                end_ms=end_ms,
                flaky=result.outcome.bad and result.node_id in shaky,
                steps=item_payloads.steps_of(result.steps, above, ids, key),
            )
        )
    return texts


def report(
    effects: PortalEffects, ids: Identities, launch: KnownLaunch, texts: Sequence[ItemText]
) -> tuple[dict[str, AnswerError], list[str]]:
    """Report items below their suites.

    Returns what ReportPortal refused and why, by uuid; and the names of those that a person's stop had ended before.

    Raises NotThereError when something has to come first, and TargetDownError.
    """
    above = _suites_of(texts, ids)
    suites.ensure(effects, ids, launch, above)
    client = effects.client
    reporter = Reporter(
        client=client,
        defects=defects.load(client, effects.settings.defects),
        skipped_is_issue=effects.settings.skipped_is_issue,
        retried=ids.suite(),
        alone=any(text.retry_sure for text in texts) and waited_enough(effects),
    )
    by_test: dict[str, list[ItemText]] = defaultdict(list)
    for text in sorted(texts, key=lambda text: text.result.attempt):
        by_test[text.name].append(text)
    found = client.call(
        lambda api: client.bounded(
            [lambda items=items: reporter.attempts(api, items) for items in by_test.values()]  # type: ignore[misc]
        )
    )
    suites.correct(effects, ids, above, max((text.end_ms for text in texts), default=launch.start_ms))
    return _judged({uuid: error for wrong in found for uuid, error in wrong.items()}), reporter.stopped


def _suites_of(texts: Sequence[ItemText], ids: Identities) -> dict[str, Suite]:
    """Return the suites that items need, by uuid, with what the results say of them."""
    descriptions = {one.node_id: one.description for text in texts for one in text.result.suites}
    above = {
        suite.uuid: replace(suite, description=descriptions[suite.node_id]) if suite.node_id in descriptions else suite
        for text in texts
        for suite in text.place.suites
    }
    if any(text.retry_of and not text.place.suites for text in texts):
        retried = tree.retried(ids)
        above[retried.uuid] = retried
    return above


def _before(key: ResultKey) -> ResultKey | None:
    """Return the attempt whose place a result takes: the process's last one, else that of the CI's last attempt."""
    if key.attempt > 1:
        return key._replace(attempt=key.attempt - 1)
    return key._replace(ci_attempt=key.ci_attempt - 1) if key.ci_attempt > 1 else None


async def _current(api: Api, item: ItemText) -> str | None:
    """Return the uuid of the item whose place an attempt takes; None when it is not there.

    Of the CI's last attempt only the first in its process is known; what has replaced that one is what counts.
    """
    assert item.retry_of is not None
    found = await api.find_item(item.retry_of)
    if found is None:
        return None
    if item.retry_sure or "launchId" in found:
        return item.retry_of
    *_, head, _ = found["path"].split(".")
    replaced = await api.find_item_by_number(int(head))
    return str(replaced["uuid"]) if replaced is not None else None


async def _report_steps(api: Api, steps: Sequence[StepText]) -> None:
    """Report the steps of a test that has started and not ended; done again, it changes nothing."""
    for step in steps:
        await api.start_item(item_payloads.start_step(step), step.parent)
    for step in reversed(steps):
        await api.finish_item(step.uuid, item_payloads.finish_step(step), step.name)


async def _ended(api: Api, item: ItemText) -> dict[str, Any] | None:
    """Return an item that is there, if it has ended; raises NotThereError for one that is not."""
    found = await api.find_item(item.uuid)
    if found is None:
        raise NotThereError(f"item {item.name} was there and is gone")
    return None if found["status"] == launches.IN_PROGRESS else found


def _judged(wrong: dict[str, AnswerError]) -> dict[str, AnswerError]:
    for error in wrong.values():
        if isinstance(error, NotThereError):
            raise error
    return wrong


def failed_rows(ids: Identities, texts: Sequence[ItemText], without: Collection[str]) -> list[dict[str, str]]:
    """Return what is to be kept of the failed items among these, but those `without` (uuids)."""
    return [
        {"project": ids.project, "run": ids.run, "item": text.uuid, "fingerprint": fingerprint(text.result.failures[0])}
        for text in texts
        if text.result.outcome.bad and text.result.failures and text.uuid not in without
    ]
