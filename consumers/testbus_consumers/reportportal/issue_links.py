"""Issues on items: whichever comes first, the items that failed for an issue's root cause show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from testbus_consumers.reportportal.errors import RefusedError
from testbus_consumers.reportportal.state import links_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from testbus_consumers.reportportal.api import Api, Json
    from testbus_consumers.reportportal.client import PortalEffects
    from testbus_consumers.reportportal.state import IssueLink
    from testbus_consumers.reportportal.tree import Identities

#: Items in one request, as ReportPortal takes them.
_BATCH: Final = 300

#: How often items are looked at anew because one of them lost its defect in between: then all of a request is refused.
_ROUNDS: Final = 3

#: How the address of an issue ends that is below that of its tracker.
_BROWSE: Final = "/browse/"


def link(effects: PortalEffects, ids: Identities, causes: Collection[str], items: Collection[str] | None = None) -> int:
    """Link the known issues of root causes to the items that failed for them, and return how many links that were.

    `items` are the uuids of the only ones to be looked at; None means all that are known. To be called once what is
    new was committed: of an issue and an item that come at the same time, the later one finds the other.

    Linking twice changes nothing, and leaves a person's triage as it is. Raises RefusedError and TargetDownError.
    """
    with effects.transaction() as state:
        wanted = links_of(state, ids, causes)
    return sum(
        _link(effects, one, [uuid for uuid in uuids if items is None or uuid in items]) for one, uuids in wanted.items()
    )


def ticket_of(one: IssueLink) -> dict[str, str]:
    """Return an issue as ReportPortal knows tickets: with the address and the project of their tracker."""
    parts = urlsplit(one.url)
    base, browse, _ = one.url.rpartition(_BROWSE)
    return {
        "ticketId": one.key,
        "url": one.url,
        "btsUrl": base if browse else f"{parts.scheme}://{parts.netloc}",
        "btsProject": one.key.rpartition("-")[0] or one.key,
    }


def _link(effects: PortalEffects, one: IssueLink, uuids: Sequence[str]) -> int:
    client = effects.client
    done = 0
    for start in range(0, len(uuids), _BATCH):
        batch = uuids[start : start + _BATCH]
        done += client.call(lambda api, batch=batch: _link_batch(api, client, one, batch))  # type: ignore[misc]
    return done


async def _link_batch(api: Api, client: Any, one: IssueLink, uuids: Sequence[str]) -> int:
    for left in reversed(range(_ROUNDS)):
        found = await client.bounded([lambda uuid=uuid: api.find_item(uuid) for uuid in uuids])
        numbers = [int(item["id"]) for item in found if item is not None and _wants(item, one.key)]
        if not numbers:
            return 0
        try:
            await api.link_issues(numbers, [ticket_of(one)])
        except RefusedError:
            if not left:
                raise
        else:
            return len(numbers)
    return 0


def _wants(item: Json, key: str) -> bool:
    """Tell whether an item has a defect that does not show the issue yet: what passed or was retried has none."""
    issue: Mapping[str, Any] | None = item.get("issue")
    if issue is None or item.get("hasChildren"):
        return False
    return key not in {ticket.get("ticketId") for ticket in issue.get("externalSystemIssues") or ()}
