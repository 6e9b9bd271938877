"""Items of results: two requests for each test, as many in flight as the target allows, and nothing twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.reportportal import item_payloads, launches
from testbus_consumers.reportportal.errors import AnswerError, NotThereError, RefusedError
from testbus_consumers.reportportal.item_payloads import ItemText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.client import KnownLaunch
    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.launches import Scope
    from testbus_schemas import Event, ResultKey, ResultsRecorded

#: How old an event with a second attempt may be before it is reported without its first one.
_FIRST_ATTEMPT_WAIT: Final = timedelta(minutes=10)

#: What ReportPortal puts on an item that ended because its launch did: not what its test said.
_INTERRUPTED: Final = {"key": "status", "value": "interrupted"}


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Reports the items of one event."""

    #: The run's uuids.
    ids: Identities
    #: The run's launch.
    launch: KnownLaunch
    #: Whether a skipped test waits for a person.
    skipped_is_issue: bool
    #: Whether to report a further attempt although the one before it is not there.
    alone: bool

    async def attempts(self, api: Api, items: Sequence[ItemText]) -> dict[str, AnswerError]:
        """Report the attempts of one test in their order, and return what went wrong, by uuid of the item."""
        wrong: dict[str, AnswerError] = {}
        for item in items:
            try:
                await self._report(api, item)
            except (NotThereError, RefusedError) as error:
                wrong[item.uuid] = error
        return wrong

    async def _report(self, api: Api, item: ItemText) -> None:
        started = await self._start_retry(api, item) if item.retry_of else await self._start(api, item)
        if not started:
            found = await api.find_item(item.uuid)
            if found is None:
                raise NotThereError(f"item {item.name} was there and is gone")
            if not _unfinished(found):
                # Finished by an earlier attempt, and perhaps triaged since: a second finish would undo that.
                return
        payload = item_payloads.finish(item, skipped_is_issue=self.skipped_is_issue)
        await api.finish_item(item.uuid, payload, item.name)

    async def _start(self, api: Api, item: ItemText) -> bool:
        return await api.start_item(item_payloads.start(item, retry=False))

    async def _start_retry(self, api: Api, item: ItemText) -> bool:
        await launches.ensure_retried(api, self.ids, self.launch)
        try:
            return await api.start_item(item_payloads.start(item, retry=True), self.ids.retried)
        except NotThereError:
            if not item.retry_sure:
                return await self._start(api, item)
            if not self.alone:
                raise
            return await api.start_item(item_payloads.start(item, retry=False), self.ids.retried)


def texts_of(event: Event[ResultsRecorded], launch: KnownLaunch, ids: Identities) -> list[ItemText]:
    """Return the items of an event, in its order."""
    texts = []
    for result in event.data.results:
        key = result.key(event.data.context)
        start_ms, end_ms = item_payloads.times(result, event.time, launch.start_ms)
        texts.append(
            ItemText(
                uuid=ids.item(key),
                retry_of=ids.item(before) if (before := _before(key)) else None,
                retry_sure=key.attempt > 1,
                result=result,
                context=event.data.context,
                launch=ids.launch,
                start_ms=start_ms,
                end_ms=end_ms,
            )
        )
    return texts


def report(
    effects: Scope, event: Event[ResultsRecorded], launch: KnownLaunch, texts: Sequence[ItemText]
) -> dict[str, AnswerError]:
    """Report items, and return what ReportPortal refused and why, by uuid.

    Raises NotThereError when something has to come first, and TargetDownError.
    """
    reporter = Reporter(
        ids=launches.identities(effects, event.data.context),
        launch=launch,
        skipped_is_issue=effects.settings.skipped_is_issue,
        alone=effects.now - event.time > _FIRST_ATTEMPT_WAIT,
    )
    by_test: dict[str, list[ItemText]] = defaultdict(list)
    for text in sorted(texts, key=lambda text: text.result.attempt):
        by_test[text.name].append(text)
    client = effects.client
    found = client.call(
        lambda api: client.bounded(
            [lambda items=items: reporter.attempts(api, items) for items in by_test.values()]  # type: ignore[misc]
        )
    )
    return _judged({uuid: error for wrong in found for uuid, error in wrong.items()})


def _before(key: ResultKey) -> ResultKey | None:
    """Return the attempt whose place a result takes: the process's last one, else that of the CI's last attempt."""
    if key.attempt > 1:
        return key._replace(attempt=key.attempt - 1)
    return key._replace(ci_attempt=key.ci_attempt - 1) if key.ci_attempt > 1 else None


def _judged(wrong: dict[str, AnswerError]) -> dict[str, AnswerError]:
    for error in wrong.values():
        if isinstance(error, NotThereError):
            raise error
    return wrong


def _unfinished(item: dict[str, Any]) -> bool:
    if item["status"] == launches.IN_PROGRESS:
        return True
    return item["status"] == "INTERRUPTED" and _INTERRUPTED in item.get("attributes", ())
