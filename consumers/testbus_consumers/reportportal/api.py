"""The calls of ReportPortal's API v1 that are needed: v1 answers with what really happened, v2 queues and hides it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal import transport
from testbus_consumers.reportportal.errors import (
    AlreadyThereError,
    AnswerError,
    BlockedError,
    NotThereError,
    RefusedError,
)
from testbus_consumers.runtime import check_leases, metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

#: Log entries on one page of a list: so many come at once even where each is long.
_PAGE: Final = 300

#: What is asked for to see whether the project can be reached at all: it changes nothing.
_PROBE: Final = "/settings"

#: A JSON object.
Json = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """One target's API, inside a running event loop.

    Every call raises what `answers.read` raises.
    """

    #: Connections.
    session: aiohttp.ClientSession
    #: Address up to and with the project.
    base: str
    #: API key.
    key: str
    #: Server and project, for people.
    where: str
    #: Waits until the next request may be made.
    turn: Callable[[], Awaitable[None]]

    async def start_launch(self, payload: Json) -> bool:
        """Start a launch; False when one with that uuid is there already."""
        return await self._create("/launch", payload, f"start launch {payload['name']}")

    async def find_launch(self, uuid: str) -> Json | None:
        """Return a launch, instants in milliseconds; None when it is not there."""
        return await self._find(f"/launch/uuid/{uuid}", f"find launch {uuid}")

    async def finish_launch(self, uuid: str, payload: Json) -> None:
        """Finish a launch; AlreadyFinishedError when it is not in progress."""
        await self._send("PUT", f"/launch/{uuid}/finish", payload, f"finish launch {uuid}")

    async def update_launch(self, number: int, payload: Json) -> None:
        """Replace a launch's attributes (but the system's) and its description, whether it is finished or not."""
        await self._send("PUT", f"/launch/{number}/update", payload, f"update launch {number}")

    async def start_item(self, payload: Json, parent: str | None = None) -> bool:
        """Start an item; False when one with that uuid is there already."""
        return await self._create(f"/item/{parent}" if parent else "/item", payload, f"start item {payload['name']}")

    async def find_item(self, uuid: str) -> Json | None:
        """Return an item; None when it is not there."""
        return await self._find(f"/item/uuid/{uuid}", f"find item {uuid}")

    async def find_item_by_number(self, number: int) -> Json | None:
        """Return the item of a number; None when it is not there."""
        return await self._find(f"/item/{number}", f"find item {number}")

    async def finish_item(self, uuid: str, payload: Json, name: str) -> None:
        """Finish an item. A second finish overwrites the first one, and with it a person's triage."""
        await self._send("PUT", f"/item/{uuid}", payload, f"finish item {name}")

    async def update_item(self, number: int, payload: Json, name: str) -> None:
        """Replace what a payload names of a finished item: attributes (but the system's), description, status."""
        await self._send("PUT", f"/item/{number}/update", payload, f"update {name}")

    async def link_issues(self, items: Sequence[int], tickets: Sequence[Json]) -> None:
        """Add tickets to items (by number) that have a defect; RefusedError when one of these has none any more."""
        await self._send("PUT", "/item/issue/link", {"testItemIds": items, "issues": tickets}, "link issues")

    async def save_logs(self, payload: aiohttp.MultipartWriter) -> Sequence[Mapping[str, Any]]:
        """Send a batch of log entries and return what became of each: `{"id"}`, or `{"message"}` when it was refused.

        The status is 201 whatever becomes of them.
        """
        answer = await self._request("POST", "/log", "save logs", data=payload)
        found = answer.get("responses") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise TargetDownError(f"{self.where} does not say what became of a batch of logs")
        return found

    async def list_logs(self, filters: Mapping[str, str]) -> list[Json]:
        """Return the log entries that filters (as `filter.in.item`) leave, each without its uuid; page by page."""
        found: list[Json] = []
        for page in itertools.count(1):
            asked = urlencode({**filters, "page.page": page, "page.size": _PAGE, "page.sort": "id,ASC"})
            answer = await self._request("GET", f"/log?{asked}", "list logs")
            found += answer["content"]
            if page >= answer["page"]["totalPages"]:
                break
        return found

    async def look(self) -> None:
        """Ask for the project's settings: needs the endpoint, the key and the project to be right."""
        await self.settings()

    async def settings(self) -> Json:
        """Return the project's settings."""
        found: Json = await self._request("GET", _PROBE, "read the project's settings")
        return found

    async def _create(self, path: str, payload: Json, what: str) -> bool:
        try:
            await self._send("POST", path, payload, what)
        except AlreadyThereError:
            return False
        return True

    async def _find(self, path: str, what: str) -> Json | None:
        try:
            found: Json = await self._request("GET", path, what)
        except NotThereError:
            return None
        return found

    async def _send(self, method: str, path: str, payload: Json, what: str) -> None:
        # JSON leaves the order of members open, and not every null is welcome: absent says the same everywhere.
        body = json.dumps({key: value for key, value in payload.items() if value is not None}).encode()
        await self._request(method, path, what, data=body, content_type="application/json")

    async def _request(
        self, method: str, path: str, what: str, *, data: Any = None, content_type: str | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        url = self.base + path
        await self.turn()
        check_leases()
        try:
            with metrics.request("reportportal", f"{method} {path.partition('?')[0].split('/')[1]}"):
                response = await self.session.request(method, url, data=data, headers=headers, allow_redirects=False)
                async with response:
                    body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TargetDownError(f"{self.where} cannot be reached: {transport.explained(error)}") from None
        try:
            return transport.read(response.status, body, what, self.where)
        except BlockedError as error:
            if path == _PROBE or not await self._answers():
                raise
            raise RefusedError(
                f"{error}. Other requests get through: let this one, or leave the run out, then redrive"
            ) from None

    async def _answers(self) -> bool:
        """Tell whether ReportPortal takes other requests about this project."""
        try:
            await self.settings()
        except (TargetDownError, AnswerError):
            return False
        return True
