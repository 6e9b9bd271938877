"""The pages of a ReportPortal: its launches, and one launch with items, logs and attributes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from aiohttp import web

from testbus_sandbox.errors import ReportPortalError
from testbus_sandbox.html import colour, document, moment, pill, span
from testbus_sandbox.reportportal.routes_read import file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus_sandbox.reportportal.defects import DefectType
    from testbus_sandbox.reportportal.models import Attribute, Hidden, Item, Launch, LogEntry
    from testbus_sandbox.reportportal.portal import Portal

#: Launches on the first page, the newest first.
MAX_LAUNCHES: Final = 100

#: Items on one page; more would make a phone slow.
MAX_ITEMS: Final = 2000

#: Statuses in the order of the bar.
_ORDER: Final = ("PASSED", "FAILED", "SKIPPED", "IN_PROGRESS")


def routes(portal: Portal, name: str, project: str) -> list[web.RouteDef]:
    """Return the pages of one server."""

    async def launches(_: web.Request) -> web.Response:
        return _html(_list(portal.launches(), portal.hidden(), name, project))

    async def launch(request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        found = next((one for one in portal.launches() if one.id == number), None)
        if found is None:
            raise web.HTTPNotFound(text=f"no launch {number}")
        types = portal.read(lambda store: {one.locator: one for one in store.defects})
        return _html(_launch(found, name, types))

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


def _html(text: str) -> web.Response:
    """Return a page."""
    return web.Response(text=text, content_type="text/html")


def _list(launches: tuple[Launch, ...], hidden: tuple[Hidden, ...], name: str, project: str) -> str:
    """Return the page of all launches."""
    title = f"ReportPortal {name}"
    head = f'<header class="top"><h1>{escape(title)}</h1><span class="soft">sandbox · {escape(project)}</span></header>'
    cards = "".join(_card(launch) for launch in list(reversed(launches))[:MAX_LAUNCHES])
    body = cards or '<div class="card pad soft">No launch yet.</div>'
    errors = "".join(
        f'<div class="card pad"><div class="row"><b class="grow">{escape(error.request)} {escape(error.uuid)}</b>'
        f'<span class="chip">{error.code}</span><span class="soft">{"waiting" if error.waiting else "dropped"}</span>'
        f'</div><div class="soft">{escape(error.message)}</div></div>'
        for error in hidden[-MAX_LAUNCHES:]
    )
    section = f'<h2>Errors that v2 did not tell</h2><div class="stack">{errors}</div>' if errors else ""
    return document(title, f'{head}<div class="stack">{body}</div>{section}')


def _card(launch: Launch) -> str:
    """Return one launch of the list."""
    mode = '<span class="chip">DEBUG</span>' if launch.mode == "DEBUG" else ""
    return (
        f'<div class="card pad"><div class="row"><a class="grow" href="launches/{launch.id}"><b>'
        f"{escape(launch.name)}</b> #{launch.number}</a>{mode}{pill(launch.status)}</div>"
        f'<div class="soft">{_when(launch)} · {_counts(launch.items)}</div>{_bar(launch.items)}'
        f"{_chips(launch.attributes)}</div>"
    )


def _launch(launch: Launch, name: str, types: Mapping[str, DefectType]) -> str:
    """Return the page of one launch."""
    title = f"{launch.name} #{launch.number}"
    head = (
        f'<nav><a href="../">← ReportPortal {escape(name)}</a></nav>'
        f'<header class="top"><h1 class="grow">{escape(title)}</h1>{pill(launch.status)}</header>'
        f'<div class="card pad"><div class="soft">{_when(launch)} · '
        f"{_counts(launch.items)} · {escape(launch.uuid)}</div>{_bar(launch.items)}{_chips(launch.attributes)}"
        f"{_text(launch.description)}</div>"
    )
    children: dict[str | None, list[Item]] = {}
    retries: dict[str, list[Item]] = {}
    for item in launch.items[:MAX_ITEMS]:
        if item.retry_of is None:
            children.setdefault(item.parent, []).append(item)
        else:
            retries.setdefault(item.retry_of, []).append(item)
    shown = _Shown(children, retries, types)
    tree = _tree(children.get(None, []), shown)
    more = len(launch.items) - MAX_ITEMS
    rest = f'<p class="soft">and {more} more items</p>' if more > 0 else ""
    logs = f'<h2>Logs of the launch</h2><div class="card pad">{_logs(launch.logs)}</div>' if launch.logs else ""
    return document(title, f'{head}<h2>Items</h2><div class="card">{tree}</div>{rest}{logs}')


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a launch's page shows."""

    #: Items by the uuid of their parent, None for root items; retries left out.
    children: Mapping[str | None, list[Item]]
    #: Retries by the uuid of the item that replaced them.
    retries: Mapping[str, list[Item]]
    #: The project's defect types by locator.
    types: Mapping[str, DefectType]


def _tree(items: list[Item], shown: _Shown) -> str:
    """Return items with what is below them; what did not pass is open."""
    parts = []
    for item in items:
        below, earlier = shown.children.get(item.uuid, []), shown.retries.get(item.uuid, [])
        details = "".join(
            (
                _facts(item, shown.types),
                _chips(item.attributes),
                _text(item.description),
                _logs(item.logs),
                _tree(below, shown) if below else "",
                f'<div class="soft">Earlier attempts</div>{_tree(earlier, shown)}' if earlier else "",
            )
        )
        opened = " open" if item.status not in {"PASSED", "SKIPPED", "INFO", "WARN"} else ""
        leaf = "" if below or item.logs else ' class="leaf"'
        took = span(item.end_time - item.start_time) if item.end_time else "…"
        step = '<span class="chip">step</span>' if not item.has_stats else ""
        issue = _defect(item, shown.types)
        again = f'<span class="chip">{len(earlier) + 1} attempts</span>' if earlier else ""
        parts.append(
            f'<details{leaf}{opened}><summary><span class="row"><span class="grow">{escape(item.name)}</span>'
            f"{again}{step}"
            f'<span class="soft">{took}</span>{issue}{pill(item.status)}</span></summary>'
            f'<div class="inside">{details}</div></details>'
        )
    return f'<div class="tree">{"".join(parts)}</div>' if parts else '<div class="pad soft">No item yet.</div>'


def _facts(item: Item, types: Mapping[str, DefectType]) -> str:
    """Return type, code reference, parameters and triage of an item."""
    facts = [escape(item.type.lower().replace("_", " "))]
    if item.code_ref:
        facts.append(f"<code>{escape(item.code_ref)}</code>")
    facts.extend(f"<code>{escape(key)} = {escape(value)}</code>" for key, value in item.parameters)
    if item.issue:
        named = types.get(item.issue.issue_type)
        comment = f": {item.issue.comment}" if item.issue.comment else ""
        facts.append(escape((named.long_name if named else item.issue.issue_type) + comment))
        facts.extend(
            f'<a href="{escape(ticket.url)}" rel="noreferrer">{escape(ticket.ticket_id)}</a>'
            for ticket in item.issue.external
            if ticket.url.startswith(("http://", "https://"))
        )
    return f'<div class="soft row">{" ".join(f"<span>{fact}</span>" for fact in facts)}</div>'


def _defect(item: Item, types: Mapping[str, DefectType]) -> str:
    """Return the type of an item's defect, in its colour."""
    if item.issue is None:
        return ""
    kind = types.get(item.issue.issue_type)
    if kind is None:
        return f'<span class="chip">{escape(item.issue.issue_type)}</span>'
    return (
        f'<span class="chip" title="{escape(kind.locator)}" style="border-left:.3rem solid {escape(kind.color)}">'
        f"{escape(kind.short_name)}</span>"
    )


def _logs(logs: Iterable[LogEntry]) -> str:
    """Return log entries."""
    return "".join(
        f'<div class="log {escape(log.level)}"><span class="soft">{log.time:%H:%M:%S.%f} {escape(log.level)}</span>'
        f"<div><pre>{escape(log.message)}</pre>{_attached(log)}</div></div>"
        for log in logs
    )


def _attached(log: LogEntry) -> str:
    """Return the file of a log entry; an image is shown."""
    if log.attachment is None:
        return ""
    named = f"{escape(log.attachment.name)} · {len(log.attachment.content):,} bytes"
    address = f"../data/{log.id}"
    image = log.attachment.content_type.startswith("image/")
    seen = f'<a href="{address}"><img class="shot" src="{address}" alt="{named}" loading="lazy"></a>' if image else ""
    return f'{seen}<div class="soft">📎 <a href="{address}">{named}</a></div>'


def _chips(attributes: Iterable[Attribute]) -> str:
    """Return attributes, the system's left out."""
    shown = "".join(
        f'<span class="chip">{escape(f"{one.key}: {one.value}" if one.key else one.value)}</span>'
        for one in attributes
        if not one.system
    )
    return f'<div class="row">{shown}</div>' if shown else ""


def _text(description: str | None) -> str:
    """Return a description."""
    return f'<p class="words">{escape(description)}</p>' if description else ""


def _when(launch: Launch) -> str:
    """Return when a launch began and how long it took."""
    took = span(launch.end_time - launch.start_time) if launch.end_time else "in progress"
    return f"{moment(launch.start_time)} · {took}"


def _tests(items: Iterable[Item]) -> Counter[str]:
    """Count the statuses of the items that are tests: nothing below them, neither retries nor nested steps."""
    items = tuple(items)
    parents = {item.parent for item in items if item.has_stats}
    return Counter(
        item.status for item in items if item.uuid not in parents and item.has_stats and item.retry_of is None
    )


def _counts(items: Iterable[Item]) -> str:
    """Return how many tests have which status."""
    counts = _tests(items)
    parts = [f"{counts.total()} tests"]
    parts += [f"{count} {status.lower().replace('_', ' ')}" for status, count in counts.most_common()]
    return escape(", ".join(parts))


def _bar(items: Iterable[Item]) -> str:
    """Return the shares of the statuses as a bar."""
    counts = _tests(items)
    ordered = sorted(counts, key=lambda status: _ORDER.index(status) if status in _ORDER else len(_ORDER))
    shares = "".join(f'<i style="flex:{counts[status]};--s:{colour(status)}"></i>' for status in ordered)
    return f'<div class="bar">{shares}</div>'
