"""Log entries: many in a request, and each of them once although ReportPortal would take it again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal import arrived, log_payloads
from testbus_consumers.reportportal.errors import NotThereError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.item_payloads import ItemText
    from testbus_consumers.reportportal.launches import Scope
    from testbus_consumers.reportportal.log_payloads import Entry
    from testbus_schemas import Event, ResultsRecorded


def report(
    effects: Scope,
    event: Event[ResultsRecorded],
    ids: Identities,
    texts: Sequence[ItemText],
    without: Collection[str],
) -> None:
    """Report the log entries of items; those of the items `without` (uuids) would fall to the launch, and wait.

    Raises RefusedError when some are not taken, NotThereError and TargetDownError.
    """
    without = {
        uuid for text in texts if text.uuid in without for uuid in (text.uuid, *(one.uuid for one in text.steps))
    }
    entries = [entry for text in texts for entry in log_payloads.entries_of(text, ids)]
    for index, batch in enumerate(log_payloads.batches(entries)):
        _once(effects, f"logs:{event.id}:{index}", batch, without)


def _once(effects: Scope, key: str, batch: Sequence[Entry], without: Collection[str]) -> None:
    client = effects.client
    ready = lacking = [entry for entry in batch if entry.item not in without]

    def act() -> dict[str, Any]:
        if lacking:
            client.call(lambda api: send(api, lacking))
        if len(ready) < len(batch):
            # Left open on purpose: when the event is redriven, what is missing is asked for and sent.
            raise RefusedError("the logs of items that were refused")
        return {"entries": len(batch)}

    def ask() -> dict[str, Any] | None:
        nonlocal lacking
        lacking = client.call(lambda api: arrived.missing(api, client, ready))
        return None if lacking else act()

    try:
        effects.once(key, act, ask, settle=settling(effects))
    except RefusedError:
        if len(ready) == len(batch):
            raise


def settling(effects: Scope) -> timedelta:
    """Return for how long what was sent may still turn up: a request that was given up may be at work on the server.

    It would not be noticed there that entries of the same uuid came before it.
    """
    return timedelta(seconds=2 * effects.settings.timeout_s)


async def send(api: Api, entries: Sequence[Entry]) -> None:
    """Send entries; raises NotThereError, RefusedError and TargetDownError."""
    answers = await api.save_logs(log_payloads.multipart(entries))
    if len(answers) != len(entries):
        raise TargetDownError(f"{api.where} answered for {len(answers)} of {len(entries)} log entries")
    for entry, answer in zip(entries, answers, strict=True):
        if "id" in answer:
            continue
        said = str(answer.get("message", "no reason given"))
        if "not found" in said:
            raise NotThereError(f"log of {entry.name}: {said}")
        raise RefusedError(f"log of {entry.name}: {said}")
