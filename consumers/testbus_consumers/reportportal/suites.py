"""Suites: started once by whichever event needs them, finished when the run is over, their status ReportPortal's."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import select

from testbus_consumers.reportportal import launch_payloads
from testbus_consumers.reportportal.errors import NotThereError
from testbus_consumers.reportportal.state import SUITE, _schedule_deletion, is_closed
from testbus_consumers.store.engine import insert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from testbus_consumers.reportportal.api import Api
    from testbus_consumers.reportportal.client import KnownLaunch, PortalEffects, ReportPortalClient
    from testbus_consumers.reportportal.tree import Identities, Suite


def ensure(effects: PortalEffects, ids: Identities, launch: KnownLaunch, wanted: Mapping[str, Suite]) -> None:
    """Start the suites (by uuid) that are not known to be there, the outermost first, and describe those that are.

    Each begins with its launch, so that no test can begin before its suite, in whatever order they come.
    Raises NotThereError when the launch is gone, RefusedError and TargetDownError.
    """
    client = effects.client
    missing = client.suites.missing(launch.uuid, wanted)
    started = _ensure_started(effects, ids, launch, wanted, missing) if missing else set()
    described = {uuid for uuid, suite in wanted.items() if suite.description}
    if others := client.suites.undescribed(launch.uuid, described - started):
        # What was there before may have been started by an event that did not know what its author says.
        client.call(lambda api: client.bounded([partial(_describe, api, wanted[uuid]) for uuid in others]))
    client.suites.remember_described(launch.uuid, described)


def _ensure_started(
    effects: PortalEffects, ids: Identities, launch: KnownLaunch, wanted: Mapping[str, Suite], missing: Collection[str]
) -> set[str]:
    """Start the missing suites, and return which of them were not there."""
    client = effects.client
    suites = sorted((wanted[uuid] for uuid in missing), key=lambda suite: (suite.depth, suite.uuid))
    # Written down first: a suite that was started and forgotten would never be finished.
    rows = [{"project": ids.project, "run": ids.run, "suite": suite.uuid, "depth": suite.depth} for suite in suites]
    with effects.transaction() as state:
        state.connection.execute(insert(state.connection, SUITE).on_conflict_do_nothing(), rows)
        _schedule_deletion(state, ids.project, ids.run)
    started = client.call(lambda api: _start(api, client, ids, launch, suites))
    client.suites.remember(launch.uuid, missing)
    return started


def finish(effects: PortalEffects, ids: Identities, end_ms: int, only: Collection[str] | None = None) -> None:
    """Finish the suites of a run (`only` these, by uuid), the deepest first; once more corrects their statuses."""
    with effects.transaction() as state:
        query = select(SUITE.c.suite, SUITE.c.depth).where(*ids.key.rows(SUITE))
        rows = list(state.execute(query.order_by(SUITE.c.depth.desc(), SUITE.c.suite)))
    levels = [[row.suite for row in level] for _, level in groupby(rows, key=lambda row: row.depth)]
    if only is not None:
        levels = [[uuid for uuid in level if uuid in only] for level in levels]
    if any(levels):
        client = effects.client
        client.call(lambda api: _finish(api, client, ids, end_ms, levels))


def correct(effects: PortalEffects, ids: Identities, uuids: Collection[str], end_ms: int) -> None:
    """Have the statuses of suites computed anew if the run was over before something below them came.

    To be called once that is there. The run's decision is kept before its suites are finished: so whoever is later, of
    this and of its end, computes a status of everything. `end_ms` is for a launch that is not finished itself.
    """
    if not uuids:
        return
    with effects.transaction() as state:
        if not is_closed(state, ids):
            return
    launch = effects.client.call(lambda api: api.find_launch(ids.launch))
    if launch and launch.get("endTime"):
        end_ms = launch_payloads.instant(launch["endTime"])
    finish(effects, ids, end_ms, uuids)


async def _start(
    api: Api, client: ReportPortalClient, ids: Identities, launch: KnownLaunch, suites: Iterable[Suite]
) -> set[str]:
    started: set[str] = set()

    async def one(suite: Suite) -> None:
        if await api.start_item(launch_payloads.start_suite(ids, suite, launch.start_ms), suite.parent):
            started.add(suite.uuid)

    for _, level in groupby(suites, key=lambda suite: suite.depth):
        await client.bounded([lambda suite=suite: one(suite) for suite in level])  # type: ignore[misc]
    return started


async def _describe(api: Api, suite: Suite) -> None:
    found = await api.find_item(suite.uuid)
    # What is said there already may be a person's.
    if found is not None and not found.get("description"):
        await api.update_item(found["id"], launch_payloads.describe_suite(suite), f"suite {suite.name}")


async def _finish(
    api: Api, client: ReportPortalClient, ids: Identities, end_ms: int, levels: Sequence[Sequence[str]]
) -> None:
    payload = {"endTime": str(end_ms), "launchUuid": ids.launch}

    async def one(uuid: str) -> None:
        try:
            await api.finish_item(uuid, payload, f"suite {uuid}")
        except NotThereError:
            # Written down, and never started: whatever stopped that starts it when it is tried again.
            return

    for level in levels:
        await client.bounded([lambda uuid=uuid: one(uuid) for uuid in level])  # type: ignore[misc]
