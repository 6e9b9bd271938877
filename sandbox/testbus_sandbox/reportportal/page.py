"""The pages of a ReportPortal: its launches, and one launch with items, logs and attributes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web

from testbus_sandbox.errors import ReportPortalError
from testbus_sandbox.html import page
from testbus_sandbox.reportportal.routes_read import file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_sandbox.reportportal.defects import DefectType
    from testbus_sandbox.reportportal.models import Item, Launch
    from testbus_sandbox.reportportal.portal import Portal

#: Launches on the first page, the newest first.
MAX_LAUNCHES: Final = 100

#: Items on one page; more would make a phone slow.
MAX_ITEMS: Final = 2000

#: Statuses of items that are shown folded.
_CLOSED: Final = frozenset({"PASSED", "SKIPPED", "INFO", "WARN"})

#: Statuses in the order of the bar.
_ORDER: Final = ("PASSED", "FAILED", "SKIPPED", "IN_PROGRESS")


def routes(portal: Portal, name: str, project: str) -> list[web.RouteDef]:
    """Return the pages of one server."""

    async def launches(_: web.Request) -> web.Response:
        return _list(portal, name, project)

    async def launch(request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        found = next((one for one in portal.launches() if one.id == number), None)
        if found is None:
            raise web.HTTPNotFound(text=f"no launch {number}")
        types = portal.read(lambda store: {one.locator: one for one in store.defects})
        return _launch(found, name, types)

    async def data(request: web.Request) -> web.Response:
        try:
            return file(portal, int(request.match_info["id"]))
        except ReportPortalError as error:
            raise web.HTTPNotFound(text=error.message) from None

    async def root(_: web.Request) -> web.Response:
        raise web.HTTPFound("/ui/")

    return [
        web.get("/", root),
        web.get("/ui/", launches),
        web.get("/ui/launches/{id:\\d+}", launch),
        web.get("/ui/data/{id:\\d+}", data),
    ]


def _list(portal: Portal, name: str, project: str) -> web.Response:
    """Return the page of all launches."""
    return page(
        "reportportal",
        title=f"ReportPortal {name}",
        project=project,
        launches=portal.launches()[::-1][:MAX_LAUNCHES],
        hidden=portal.hidden()[-MAX_LAUNCHES:],
        tests=_tests,
    )


def _launch(launch: Launch, name: str, types: Mapping[str, DefectType]) -> web.Response:
    """Return the page of one launch; `types` are the project's defect types by locator."""
    children: dict[str | None, list[Item]] = {}
    retries: dict[str, list[Item]] = {}
    for item in launch.items[:MAX_ITEMS]:
        if item.retry_of is None:
            children.setdefault(item.parent, []).append(item)
        else:
            retries.setdefault(item.retry_of, []).append(item)
    return page(
        "reportportal",
        title=f"{launch.name} #{launch.number}",
        name=name,
        launch=launch,
        # By the uuid of their parent, none for root items; and by the uuid of the item that replaced them.
        children=children,
        retries=retries,
        types=types,
        more=len(launch.items) - MAX_ITEMS,
        closed=_CLOSED,
        tests=_tests,
    )


class _Tests(NamedTuple):
    """The tests of a launch: items with nothing below them, neither retries nor nested steps."""

    #: How many have which status, for people.
    words: str
    #: Statuses with their numbers, in the order of the bar.
    shares: list[tuple[str, int]]


def _tests(items: Sequence[Item]) -> _Tests:
    parents = {item.parent for item in items if item.has_stats}
    counts = Counter(
        item.status for item in items if item.uuid not in parents and item.has_stats and item.retry_of is None
    )
    named = [f"{count} {status.lower().replace('_', ' ')}" for status, count in counts.most_common()]
    shares = sorted(counts.items(), key=lambda one: _ORDER.index(one[0]) if one[0] in _ORDER else len(_ORDER))
    return _Tests(words=", ".join([f"{counts.total()} tests", *named]), shares=shares)
