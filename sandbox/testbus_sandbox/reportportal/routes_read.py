"""The calls of API v1 that read, and the server's own description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.reportportal import fields, items, launches, lists, logs
from testbus_sandbox.reportportal.http import answer
from testbus_sandbox.reportportal.refusals import UNABLE_TO_LOAD_BINARY_DATA, refuse

if TYPE_CHECKING:
    from testbus_sandbox.reportportal.lists import Clock
    from testbus_sandbox.reportportal.models import ItemRecord, LaunchRecord
    from testbus_sandbox.reportportal.portal import Portal
    from testbus_sandbox.reportportal.store import Store

#: The service-api whose rules the sandbox has.
VERSION: Final = "5.15.1"

#: The media types with instants in ISO 8601 instead of milliseconds.
ISO_LAUNCH: Final = "application/x.reportportal.launch.v2+json"
ISO_ITEM: Final = "application/x.reportportal.test.v2+json"


class Reading:
    """Translates questions into look-ups, and rows into JSON."""

    def __init__(self, portal: Portal) -> None:
        """Take the portal."""
        self._portal = portal

    def routes(self) -> list[web.RouteDef]:
        """Return the calls that read."""
        base = "/api/v1/{project}"
        return [
            web.get("/info", self.info),
            web.get("/api/info", self.info),
            web.get("/health", self.health),
            web.get("/api/health", self.health),
            web.get(f"{base}/settings", self.settings),
            web.get("/api/v1/data/{project}/{id:\\d+}", self.data),
            web.get(f"{base}/launch", self.launches),
            web.get(f"{base}/launch/mode", self.debug_launches),
            web.get(f"{base}/launch/uuid/{{key}}", self.launch),
            web.get(f"{base}/launch/{{key:\\d+}}", self.launch),
            web.get(f"{base}/item", self.items),
            web.get(f"{base}/item/uuid/{{key}}", self.item),
            web.get(f"{base}/item/{{key:\\d+}}", self.item),
            web.get(f"{base}/log", self.logs),
            web.get(f"{base}/log/uuid/{{key}}", self.log),
            web.get(f"{base}/log/{{key}}", self.log),
        ]

    async def info(self, _: web.Request) -> web.Response:
        """GET /info: the version, without authorisation."""
        build = {"artifact": "service-api", "name": "API Service", "version": VERSION}
        return answer({"build": build, "environment": {}, "extensions": {"extensions": []}})

    async def health(self, _: web.Request) -> web.Response:
        """GET /health, without authorisation."""
        return answer({"status": "UP"})

    async def settings(self, _: web.Request) -> web.Response:
        """GET /settings: the defect types."""
        return answer(self._portal.read(lists.settings))

    async def data(self, request: web.Request) -> web.Response:
        """GET /data/{project}/{id}: the file of a log entry."""
        return file(self._portal, int(request.match_info["id"]))

    async def launches(self, request: web.Request) -> web.Response:
        """GET /launch: a page of launches, DEBUG ones left out."""
        return self._page(request, "DEFAULT")

    async def debug_launches(self, request: web.Request) -> web.Response:
        """GET /launch/mode: a page of DEBUG launches."""
        return self._page(request, "DEBUG")

    def _page(self, request: web.Request, mode: str) -> web.Response:
        """Return a page of the launches of one mode."""

        def page(store: Store) -> dict[str, Any]:
            return lists.launches(store, request.query, mode).resource(lambda row: lists.launch(row, fields.iso))

        return answer(self._portal.read(page))

    async def launch(self, request: web.Request) -> web.Response:
        """GET /launch/{id} and /launch/uuid/{uuid}."""
        key, by_uuid = request.match_info["key"], "/uuid/" in request.path

        def find(store: Store) -> LaunchRecord:
            return launches.find_by_id(store, int(key)) if key.isdecimal() else items.find_launch(store, key)

        clock = _clock(request, ISO_LAUNCH, milliseconds=by_uuid)
        return answer(self._portal.read(lambda store: lists.launch(find(store), clock)))

    async def items(self, request: web.Request) -> web.Response:
        """GET /item: a page of a launch's items."""

        def page(store: Store) -> dict[str, Any]:
            return lists.items(store, request.query).resource(lambda row: lists.item(row, fields.iso))

        return answer(self._portal.read(page))

    async def item(self, request: web.Request) -> web.Response:
        """GET /item/{id} and /item/uuid/{uuid}."""
        key, by_uuid = request.match_info["key"], "/uuid/" in request.path

        def find(store: Store) -> ItemRecord:
            return items.find_item_by_id(store, int(key)) if key.isdecimal() else items.find_item(store, key)

        clock = _clock(request, ISO_ITEM, milliseconds=by_uuid)
        return answer(self._portal.read(lambda store: lists.item(find(store), clock)))

    async def logs(self, request: web.Request) -> web.Response:
        """GET /log: a page of log entries."""
        return answer(self._portal.read(lambda store: lists.logs(store, request.query).resource(lists.listed_log)))

    async def log(self, request: web.Request) -> web.Response:
        """GET /log/{id or uuid} and /log/uuid/{uuid}."""
        key = request.match_info["key"]
        return answer(self._portal.read(lambda store: lists.log(logs.find(store, key))))


def file(portal: Portal, number: int) -> web.Response:
    """Return the file of that number as it was sent; raise ReportPortalError 40427 when there is none."""
    found = portal.read(lambda store: log.attachment if (log := store.logs.get(number)) else None)
    if found is None:
        raise refuse(UNABLE_TO_LOAD_BINARY_DATA, number)
    # A page that a test left is looked at, and may not do anything.
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return web.Response(body=found.content, content_type=found.content_type.partition(";")[0], headers=headers)


def _clock(request: web.Request, iso_type: str, *, milliseconds: bool) -> Clock:
    """Return how instants are written: by uuid in milliseconds unless the media type asks for ISO, else in ISO."""
    if milliseconds and iso_type not in request.headers.get("Accept", ""):
        return fields.epoch_ms
    return fields.iso
