"""Which log entries of a batch arrived, when its answer was lost.

ReportPortal finds an entry by its uuid only by a call that is to be removed in 6.0, for what it costs the database; its
lists (service-api 5.15.1 and the development towards 6.0) do not read the uuid at all. So the entries of the items in
question are listed, and recognised by item, instant and text: what a batch of ours says is the same at each attempt.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from testbus_consumers.reportportal.errors import NotThereError
from testbus_consumers.reportportal.launch_payloads import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from testbus_consumers.reportportal.api import Api, Json
    from testbus_consumers.reportportal.client import ReportPortalClient
    from testbus_consumers.reportportal.log_payloads import Entry

#: Items whose entries are listed by one request: their numbers have to fit into an address.
_ITEMS: Final = 100


async def missing(api: Api, client: ReportPortalClient, entries: Sequence[Entry]) -> list[Entry]:
    """Return those of the entries that are not there.

    Raises NotThereError when the item (or launch) of one is not there, and what `answers.read` raises.
    """
    there: Counter[tuple[str | None, int, str]] = Counter()
    items = list(dict.fromkeys(entry.item for entry in entries if entry.item))
    for start in range(0, len(items), _ITEMS):
        some = items[start : start + _ITEMS]
        found = await client.bounded([_looking(api.find_item, uuid, "item") for uuid in some])
        owners = {int(item["id"]): uuid for uuid, item in zip(some, found, strict=True)}
        rows = await api.list_logs({"filter.in.item": ",".join(map(str, owners))})
        there.update((owners[row["itemId"]], instant(row["time"]), row["message"]) for row in rows)
    if whole := next((entry.launch for entry in entries if not entry.item), None):
        launch = await _looking(api.find_launch, whole, "launch")()
        rows = await api.list_logs({"filter.eq.launch": str(launch["id"])})
        there.update((None, instant(row["time"]), row["message"]) for row in rows)
    lacking = []
    for entry in entries:
        this = (entry.item, entry.time_ms, entry.message)
        if there[this] > 0:
            there[this] -= 1
        else:
            lacking.append(entry)
    return lacking


def _looking(find: Callable[[str], Any], uuid: str, kind: str) -> Callable[[], Any]:
    async def look() -> Json:
        found: Json | None = await find(uuid)
        if found is None:
            raise NotThereError(f"{kind} {uuid} was there and is gone")
        return found

    return look
