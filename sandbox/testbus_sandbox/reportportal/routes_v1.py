"""The reporting calls of API v1: definite answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from aiohttp import web

from testbus_sandbox.errors import ReportPortalError
from testbus_sandbox.reportportal import items, launches, logs
from testbus_sandbox.reportportal.defects import CreateType
from testbus_sandbox.reportportal.fields import SIZE, Body, unreadable
from testbus_sandbox.reportportal.http import answer, read_json, read_logs
from testbus_sandbox.reportportal.lists import issue
from testbus_sandbox.reportportal.logs import SaveLog
from testbus_sandbox.reportportal.models import POSITIVE
from testbus_sandbox.reportportal.portal import Portal, Queued
from testbus_sandbox.reportportal.refusals import (
    BAD_REQUEST,
    BINARY_DATA_CANNOT_BE_SAVED,
    ISSUE_TYPE_UNRESOLVED,
    refuse,
)
from testbus_sandbox.reportportal.request_models import Finish, StartItem, StartLaunch, Update, read_issue, read_tickets

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_sandbox.reportportal.models import Attachment, ExternalIssue, ItemRecord
    from testbus_sandbox.reportportal.portal import Portal
    from testbus_sandbox.reportportal.store import Store


#: Items, and tickets, in one request.
MOST: Final = 300

#: What validation says of an empty list.
_EMPTY: Final = "Field '{}' should not be empty."


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkIssues:
    """PUT /item/issue/link."""

    #: Numbers of the items.
    items: tuple[int, ...]
    tickets: tuple[ExternalIssue, ...]

    @classmethod
    def read(cls, data: Any) -> LinkIssues:
        """Read the JSON; raise ReportPortalError 4001 for what is not valid."""
        body = Body(data)
        request = cls(items=_numbers(body), tickets=read_tickets(body, "issues"))
        for name, values in (("testItemIds", request.items), ("issues", request.tickets)):
            if not values:
                body.violated(_EMPTY, name)
            elif len(values) > MOST:
                body.violated(SIZE, name, 0, MOST)
        body.check()
        return request


def link(store: Store, request: LinkIssues) -> list[ItemRecord]:
    """Add tickets to items and return these; raise ReportPortalError 40020, and then none is changed.

    Items that are not there are left out without a word. A ticket that the server knows by its id stays as it is known.
    The type of the defect and its comment stay.
    """
    items = [store.items[number] for number in dict.fromkeys(request.items) if number in store.items]
    if errors := [error for item in items if (error := _refusal(item))]:
        raise refuse(ISSUE_TYPE_UNRESOLVED, f"[{', '.join(errors)}]")
    tickets = [store.tickets.setdefault(ticket.ticket_id, ticket) for ticket in request.tickets]
    for item in items:
        assert item.issue is not None
        external = tuple(dict.fromkeys([*item.issue.external, *tickets]))
        item.issue = replace(item.issue, external=external, auto_analyzed=False)
    return items


def _refusal(item: ItemRecord) -> str | None:
    if item.status in POSITIVE:
        return f"Issue status update cannot be applied on {item.status} test items, cause it is not allowed."
    if item.has_children:
        return (
            f"It is not allowed to update issue type for items with descendants. Test item '{item.id}' has descendants."
        )
    if item.issue is None:
        return (
            f"Cannot update issue type for test item '{item.id}', cause there is no info about actual issue type value."
        )
    return None


def _numbers(body: Body) -> tuple[int, ...]:
    found = body.raw("testItemIds")
    if found is None:
        return ()
    if not isinstance(found, list) or not all(str(number).isdecimal() for number in found):
        raise unreadable("Cannot deserialize value of type `java.lang.Long` for field 'testItemIds'")
    return tuple(int(number) for number in found)


#: Where the exception of a refused log entry comes from, in its stack trace.
_PACKAGE: Final = "com.epam.reportportal.base.infrastructure.rules.exception"


class Reporting:
    """Translates v1 requests into rules, and what they return into answers."""

    def __init__(self, portal: Portal, project: str) -> None:
        """Take the portal and the name of its project."""
        self._portal = portal
        self._project = project

    def routes(self) -> list[web.RouteDef]:
        """Return the calls that write."""
        base = "/api/v1/{project}"
        return [
            web.post(f"{base}/launch", self.start_launch),
            web.put(f"{base}/launch/{{uuid}}/finish", self.finish_launch),
            web.put(f"{base}/launch/{{id:\\d+}}/stop", self.stop_launch),
            web.put(f"{base}/launch/{{id:\\d+}}/update", self.update_launch),
            web.delete(f"{base}/launch/{{id:\\d+}}", self.delete_launch),
            web.put(f"{base}/item", self.triage),
            web.put(f"{base}/item/issue/link", self.link_issues),
            *on_both(web.post, f"{base}/item", self.start_root),
            *on_both(web.post, f"{base}/item/{{parent}}", self.start_child),
            *on_both(web.put, f"{base}/item/{{uuid}}", self.finish_item),
            web.put(f"{base}/item/{{id:\\d+}}/update", self.update_item),
            web.post(f"{base}/settings/sub-type", self.create_type),
            web.delete(f"{base}/settings/sub-type/{{id:\\d+}}", self.delete_type),
            web.post(f"{base}/log", self.save_logs),
            web.post(f"{base}/log/entry", self.save_log),
        ]

    async def start_launch(self, request: web.Request) -> web.Response:
        """POST /launch."""
        body = StartLaunch.read(await read_json(request))
        launch = self._portal.start(lambda store: launches.start(store, body))
        return answer({"id": launch.uuid, "number": launch.number}, 201)

    async def finish_launch(self, request: web.Request) -> web.Response:
        """PUT /launch/{uuid}/finish."""
        body = Finish.read(await read_json(request))
        uuid = request.match_info["uuid"]
        launch = self._portal.apply(lambda store: launches.finish(store, uuid, body))
        link = launch_link(request, self._project, str(launch.id))
        return answer({"id": launch.uuid, "number": launch.number, "link": link})

    async def stop_launch(self, request: web.Request) -> web.Response:
        """PUT /launch/{id}/stop."""
        body = Finish.read(await read_json(request))
        number = int(request.match_info["id"])
        self._portal.apply(lambda store: launches.stop(store, number, body))
        return answer({"message": f"Launch with ID = '{number}' successfully stopped."})

    async def delete_launch(self, request: web.Request) -> web.Response:
        """DELETE /launch/{id}."""
        number = int(request.match_info["id"])
        self._portal.apply(lambda store: launches.delete(store, number))
        return answer({"message": f"Launch with ID = '{number}' successfully deleted."})

    async def update_launch(self, request: web.Request) -> web.Response:
        """PUT /launch/{id}/update."""
        body = Update.read(await read_json(request))
        number = int(request.match_info["id"])
        self._portal.apply(lambda store: launches.update(store, number, body))
        return answer({"message": f"Launch with ID = '{number}' successfully updated."})

    async def start_root(self, request: web.Request) -> web.Response:
        """POST /item."""
        body = StartItem.read(await read_json(request))
        item = self._portal.start(lambda store: items.start_root(store, body))
        return answer({"id": item.uuid, "uniqueId": item.unique_id}, 201)

    async def start_child(self, request: web.Request) -> web.Response:
        """POST /item/{parent}."""
        body = StartItem.read(await read_json(request))
        parent = request.match_info["parent"]
        item = self._portal.start(lambda store: items.start_child(store, parent, body))
        return answer({"id": item.uuid, "uniqueId": item.unique_id}, 201)

    async def finish_item(self, request: web.Request) -> web.Response:
        """PUT /item/{uuid}."""
        body = Finish.read(await read_json(request))
        uuid = request.match_info["uuid"]
        self._portal.apply(lambda store: items.finish(store, uuid, body))
        return answer({"message": f"TestItem with ID = '{uuid}' successfully finished."})

    async def update_item(self, request: web.Request) -> web.Response:
        """PUT /item/{id}/update."""
        body = Update.read(await read_json(request))
        number = int(request.match_info["id"])
        self._portal.apply(lambda store: items.update(store, number, body))
        return answer({"message": f"TestItem with ID = '{number}' successfully updated."})

    async def triage(self, request: web.Request) -> web.Response:
        """PUT /item: set issues, as a person does on the page."""
        body = Body(await read_json(request))
        definitions = []
        for definition in body.objects("issues") or ():
            number, found = definition.text("testItemId"), read_issue(definition)
            if number is None or not number.isdecimal() or found is None:
                raise unreadable("Cannot deserialize value: an issue definition is expected")
            definitions.append((int(number), found))
        body.check()
        issues = self._portal.apply(lambda store: items.triage(store, definitions))
        return answer([issue(record) for record in issues])

    async def link_issues(self, request: web.Request) -> web.Response:
        """PUT /item/issue/link: add tickets to items that have a defect."""
        body = LinkIssues.read(await read_json(request))
        found = self._portal.apply(lambda store: link(store, body))
        return answer([{"message": f"TestItem with ID = '{item.id}' successfully updated."} for item in found])

    async def create_type(self, request: web.Request) -> web.Response:
        """POST /settings/sub-type: a defect type of the project's own."""
        body = CreateType.read(await read_json(request))
        made = self._portal.apply(lambda store: store.defects.create(body))
        return answer({"id": made.id, "locator": made.locator}, 201)

    async def delete_type(self, request: web.Request) -> web.Response:
        """DELETE /settings/sub-type/{id}: its items have the type of its group from then on."""
        number = int(request.match_info["id"])
        self._portal.apply(lambda store: items.delete_type(store, number))
        return answer({"message": "Issue sub-type delete operation completed successfully."})

    async def save_log(self, request: web.Request) -> web.Response:
        """POST /log/entry, or /log with JSON: one entry without a file."""
        body = SaveLog.read(await read_json(request))
        return answer({"id": self._save(body, None)}, 201)

    async def save_logs(self, request: web.Request) -> web.Response:
        """POST /log: a batch; the answer is 201, each entry has its own outcome."""
        if not request.content_type.startswith("multipart/"):
            return await self.save_log(request)
        entries, files = await read_logs(request)
        return answer({"responses": each(entries, files, self._save)}, 201)

    def _save(self, body: SaveLog, file: Attachment | None) -> str:
        """Store one entry and return its uuid."""
        body.check()
        return self._portal.apply(lambda store: logs.save(store, body, file)).uuid


def each(
    entries: list[SaveLog],
    files: dict[str, list[Attachment]],
    save: Callable[[SaveLog, Attachment | None], str],
) -> list[dict[str, str]]:
    """Save the entries of a batch one by one, and return what is answered for each."""
    answers: list[dict[str, str]] = []
    for entry in entries:
        try:
            answers.append({"id": save(entry, _file(entry, files))})
        except ReportPortalError as error:
            message = f"ReportPortalException: {error.message}"
            answers.append({"message": message, "stackTrace": f"{_PACKAGE}.{message}\n\tat {_PACKAGE}.(Sandbox)"})
    return answers


def on_both(method: Callable[..., web.RouteDef], path: str, handler: Any) -> list[web.RouteDef]:
    """Return a route with and without the slash at the end, as service-api maps items."""
    return [method(path, handler), method(f"{path}/", handler)]


def launch_link(request: web.Request, project: str, launch: str) -> str:
    """Return the address of a launch on ReportPortal's pages."""
    return f"{request.url.origin()}/ui/#{project}/launches/all/{launch}"


def _file(entry: SaveLog, files: dict[str, list[Attachment]]) -> Attachment | None:
    """Return the file that an entry names, each file once; raise ReportPortalError 4002 when it did not come along."""
    if not entry.file:
        return None
    found = files.get(entry.file)
    if not found:
        raise refuse(BINARY_DATA_CANNOT_BE_SAVED, f"There is no request part or file with name {entry.file}")
    return found.pop(0)


class Queueing:
    """Checks the form of v2 requests, answers them, and leaves the rest to the portal's queue."""

    def __init__(self, portal: Portal, project: str) -> None:
        """Take the portal and the name of its project."""
        self._portal = portal
        self._project = project

    def routes(self) -> list[web.RouteDef]:
        """Return the calls."""
        base = "/api/v2/{project}"
        return [
            web.post(f"{base}/launch", self.start_launch),
            web.put(f"{base}/launch/{{uuid}}/finish", self.finish_launch),
            *on_both(web.post, f"{base}/item", self.start_item),
            *on_both(web.post, f"{base}/item/{{parent}}", self.start_item),
            *on_both(web.put, f"{base}/item/{{uuid}}", self.finish_item),
            web.post(f"{base}/log", self.save_logs),
            web.post(f"{base}/log/entry", self.save_log),
        ]

    async def start_launch(self, request: web.Request) -> web.Response:
        """POST /launch; a rerun of nothing is the one business error that is reported."""
        body = StartLaunch.read(await read_json(request))
        if body.rerun:
            uuid = self._portal.read(lambda store: launches.rerun_of(store, body).uuid)
        else:
            uuid = _or_random(body.uuid)
        body = replace(body, uuid=uuid)
        queued = Queued(
            request="start launch", uuid=uuid, apply=lambda store: launches.start(store, body), creates=True
        )
        self._portal.enqueue(queued)
        return answer({"id": uuid}, 201)

    async def finish_launch(self, request: web.Request) -> web.Response:
        """PUT /launch/{uuid}/finish."""
        body = Finish.read(await read_json(request))
        uuid = request.match_info["uuid"]
        queued = Queued(request="finish launch", uuid=uuid, apply=lambda store: launches.finish(store, uuid, body))
        self._portal.enqueue(queued)
        return answer({"id": uuid, "link": launch_link(request, self._project, uuid)})

    async def start_item(self, request: web.Request) -> web.Response:
        """POST /item and POST /item/{parent}."""
        body = StartItem.read(await read_json(request))
        parent = request.match_info.get("parent")
        body = replace(body, uuid=_or_random(body.uuid))
        uuid = body.uuid or ""

        def apply(store: Store) -> ItemRecord:
            return items.start_child(store, parent, body) if parent else items.start_root(store, body)

        self._portal.enqueue(Queued(request="start item", uuid=uuid, apply=apply, creates=True))
        return answer({"id": uuid}, 201)

    async def finish_item(self, request: web.Request) -> web.Response:
        """PUT /item/{uuid}."""
        body = Finish.read(await read_json(request))
        uuid = request.match_info["uuid"]
        _check_launch(body.launch_uuid)
        queued = Queued(request="finish item", uuid=uuid, apply=lambda store: items.finish(store, uuid, body))
        self._portal.enqueue(queued)
        return answer({"message": f"Accepted finish request for test item ID = {uuid}"})

    async def save_log(self, request: web.Request) -> web.Response:
        """POST /log/entry, or /log with JSON: one entry without a file."""
        body = SaveLog.read(await read_json(request))
        return answer({"id": self._save(body, None)}, 201)

    async def save_logs(self, request: web.Request) -> web.Response:
        """POST /log: a batch; the answer is 201, each entry has its own outcome."""
        if not request.content_type.startswith("multipart/"):
            return await self.save_log(request)
        entries, files = await read_logs(request)
        return answer({"responses": each(entries, files, self._save)}, 201)

    def _save(self, body: SaveLog, file: Attachment | None) -> str:
        """Accept one entry and return its uuid."""
        body.check()
        _check_launch(body.launch_uuid)
        body = replace(body, uuid=_or_random(body.uuid))
        uuid = body.uuid or ""
        self._portal.enqueue(Queued(request="log", uuid=uuid, apply=lambda store: logs.save(store, body, file)))
        return uuid


def _or_random(uuid: str | None) -> str:
    """Return the uuid of the request, or a new one when it is blank."""
    return uuid if uuid and uuid.strip() else str(uuid4())


def _check_launch(uuid: str | None) -> None:
    """Refuse a request that names no launch: the queue could not route it."""
    if uuid is None:
        raise refuse(BAD_REQUEST, "Launch UUID should not be null or empty.")
