"""What every server of the sandbox has around its routes: counting, faults, and the pages that control both."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.errors import InvalidFaultError
from testbus_sandbox.faults import Fault, described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testbus_sandbox.faults import Faults
    from testbus_sandbox.traffic import Traffic

#: Path of the control pages: never counted, never hit by a fault.
ADMIN: Final = "/__sandbox__"

#: Seconds that connections are refused when HTTP asked for it and did not say how long.
REFUSE_S: Final = 10.0

#: Seconds that the answer to such a request has to reach its client first.
ANSWER_S: Final = 0.1

#: Pieces in which a slow body is sent.
_PIECES: Final = 8

#: Milliseconds in a second.
_MS: Final = 1000

#: SO_LINGER on, zero seconds: closing sends RST.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Control:
    """Counting and faults of one server, as a middleware and as control pages."""

    def __init__(self, faults: Faults, traffic: Traffic, error_body: Callable[[int], tuple[str, str]]) -> None:
        """Take the faults, the counts and what the vendor answers with a status: (media type, body)."""
        self._faults = faults
        self._traffic = traffic
        self._error_body = error_body
        self._hanging: set[asyncio.Event] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the control pages."""
        return [
            web.get(f"{ADMIN}/faults", self._list),
            web.post(f"{ADMIN}/faults", self._add),
            web.delete(f"{ADMIN}/faults", self._clear),
            web.get(f"{ADMIN}/requests", self._requests),
            web.delete(f"{ADMIN}/requests", self._forget),
        ]

    def release(self) -> None:
        """Let the hanging requests go on; called in the server's loop."""
        for event in self._hanging:
            event.set()

    def middleware(self) -> Any:
        """Return the outermost middleware."""

        @web.middleware
        async def around(request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]) -> Any:
            if request.path.startswith(ADMIN):
                return await handler(request)
            resource = request.match_info.route.resource
            self._traffic.count(request.method, resource.canonical if resource else request.path)
            faults = self._faults.take(request.method, request.path)
            return await (self._disturbed(request, handler, faults) if faults else handler(request))

        return around

    async def _disturbed(
        self,
        request: web.Request,
        handler: Callable[..., Awaitable[web.StreamResponse]],
        faults: tuple[Fault, ...],
    ) -> web.StreamResponse:
        """Answer a request under faults."""
        answer = await handler(request) if any(fault.act_first for fault in faults) else None
        for fault in faults:
            if fault.action == "latency":
                await asyncio.sleep(fault.delay_ms / _MS)
            elif fault.action == "hang":
                await self._hang()
            elif fault.action == "status":
                return self._error(fault)
            elif fault.action == "reset":
                reset(request.transport)
                return web.Response(status=503)
        if answer is None:
            try:
                answer = await handler(request)
            except ConnectionResetError:
                # The client gave up meanwhile, and what it had not sent yet is gone: nobody reads this answer.
                return web.Response(status=503)
        if faults[-1].action == "slow_body":
            return await _dribble(request, answer, faults[-1].delay_ms)
        return answer

    async def _hang(self) -> None:
        """Wait until the faults are cleared."""
        event = asyncio.Event()
        self._hanging.add(event)
        try:
            await event.wait()
        finally:
            self._hanging.discard(event)

    def _error(self, fault: Fault) -> web.Response:
        """Return the answer of the fault `status`."""
        media_type, body = self._error_body(fault.status)
        headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
        return web.Response(status=fault.status, text=body, content_type=media_type, headers=headers)

    async def _list(self, _: web.Request) -> web.Response:
        """GET: the faults that still hit requests."""
        return web.json_response({"faults": [described(fault) for fault in self._faults.active]})

    async def _add(self, request: web.Request) -> web.Response:
        """POST: set the fault of the body: the fields of Fault, or `{"action": "refuse", "seconds": 5}`."""
        try:
            data = json.loads(await request.text())
            if isinstance(data, dict) and data.get("action") == "refuse":
                self._faults.refuse(float(data.get("seconds", REFUSE_S)), after_s=ANSWER_S)
                return web.json_response(data, status=201)
            fault = Fault.read(data)
        except (InvalidFaultError, TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._faults.add(fault)
        return web.json_response(described(fault), status=201)

    async def _clear(self, _: web.Request) -> web.Response:
        """DELETE: end every fault."""
        self._faults.clear()
        return web.Response(status=204)

    async def _requests(self, _: web.Request) -> web.Response:
        """GET: the counts by method and route."""
        return web.json_response({"total": self._traffic.total, "by_route": self._traffic.by_route})

    async def _forget(self, _: web.Request) -> web.Response:
        """DELETE: start counting at zero."""
        self._traffic.clear()
        return web.Response(status=204)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Cut a connection so that its client sees a reset."""
    if not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def _dribble(request: web.Request, answer: web.StreamResponse, delay_ms: int) -> web.StreamResponse:
    """Send an answer's body in pieces over `delay_ms` milliseconds."""
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    slow = web.StreamResponse(status=answer.status, headers=answer.headers)
    slow.content_length = len(body)
    await slow.prepare(request)
    size = max(1, -(-len(body) // _PIECES))
    for start in range(0, len(body), size):
        await asyncio.sleep(delay_ms / _MS / _PIECES)
        await slow.write(body[start : start + size])
    await slow.write_eof()
    return slow
