"""The reporting calls of API v2: accepted, queued, and their business errors never told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import web

from testbus_sandbox.reportportal import items, launches, logs
from testbus_sandbox.reportportal.http import answer, read_json, read_logs
from testbus_sandbox.reportportal.logs import SaveLog
from testbus_sandbox.reportportal.portal import Portal, Queued
from testbus_sandbox.reportportal.refusals import BAD_REQUEST, refuse
from testbus_sandbox.reportportal.request_models import Finish, StartItem, StartLaunch
from testbus_sandbox.reportportal.routes_v1 import each, launch_link, on_both

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.models import Attachment
    from testbus_sandbox.reportportal.records import ItemRecord
    from testbus_sandbox.reportportal.store import Store


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
        """POST /launch; a rerun of nothing is the one business error that is told."""
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
