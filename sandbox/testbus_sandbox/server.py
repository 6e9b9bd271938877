"""Runs aiohttp applications on loopback, in one background thread with its own event loop."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from testbus_sandbox.errors import CannotListenError, InvalidFaultError
from testbus_sandbox.faults import Fault, Faults, described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine


@dataclass(slots=True)
class Traffic:
    """Counts requests as they arrive, answered or not; may be read from any thread."""

    _counts: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def count(self, method: str, route: str) -> None:
        """Count one request for a route such as `/api/v1/{project}/item`."""
        with self._lock:
            self._counts[f"{method} {route}"] += 1

    def clear(self) -> None:
        """Start counting at zero again."""
        with self._lock:
            self._counts.clear()

    @property
    def by_route(self) -> dict[str, int]:
        """The counts, for example `{"POST /api/v1/{project}/item": 12}`."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """The number of all requests."""
        with self._lock:
            return self._counts.total()


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
            web.delete(f"{ADMIN}/requests", self._delete_requests),
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

    async def _delete_requests(self, _: web.Request) -> web.Response:
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


T = TypeVar("T")

#: The only address a sandbox listens on.
HOST: Final = "127.0.0.1"

#: Connections that may wait to be accepted.
_BACKLOG: Final = 128

#: Seconds that a stopping server gives open requests.
_SHUTDOWN_S: Final = 0.2

#: Seconds after which a call into the loop's thread is given up.
_CALL_S: Final = 30.0


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="testbus-sandbox", daemon=True)
        self._thread.start()

    @property
    def inside(self) -> bool:
        """Whether the caller is the loop's own thread."""
        return threading.get_ident() == self._thread.ident

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result; not from the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_S)

    def soon(self, callback: Callable[[], object]) -> None:
        """Call back in the loop, without waiting."""
        self._loop.call_soon_threadsafe(callback)

    def later(self, seconds: float, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function in the loop after so many seconds, without waiting."""

        def begin() -> None:
            task = self._loop.create_task(function())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.soon(lambda: self._loop.call_later(seconds, begin))

    def stop(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_S)

    def _run(self) -> None:
        """Run the loop until it is stopped, then close what is left in it."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class Server:
    """One application on one loopback port, with faults and counts."""

    def __init__(self, loop: LoopThread, *, error_body: Callable[[int], tuple[str, str]], max_bytes: int) -> None:
        """Take the thread to run in, what the vendor answers with a status, and the largest body in bytes."""
        self._loop = loop
        self.traffic = Traffic()
        self.faults = Faults(listen=self._listen, release=self._release)
        self._control = Control(self.faults, self.traffic, error_body)
        self.app = web.Application(client_max_size=max_bytes, middlewares=[self._control.middleware()])
        self.app.add_routes(self._control.routes())
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._held: socket.socket | None = None
        self.port = 0

    def start(self, port: int) -> None:
        """Listen on the port (0: the system chooses); raise CannotListenError when that is not possible."""
        self._held = _bound(port)
        self.port = int(self._held.getsockname()[1])
        self._loop.call(self._start())

    def stop(self) -> None:
        """Let hanging requests go, close every connection and the port."""
        self.faults.clear()
        self._loop.call(self._stop())

    async def _start(self) -> None:
        """Set the application up and listen."""
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=3600)
        await self._runner.setup()
        await self._open()

    async def _stop(self) -> None:
        """Take the application down."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._held is not None:
            self._held.close()

    async def _open(self) -> None:
        """Listen on the socket that holds the port."""
        if self._runner is not None and self._held is not None:
            self._site = web.SockSite(self._runner, self._held, backlog=_BACKLOG)
            self._held = None
            await self._site.start()

    async def _close(self) -> None:
        """Close the listening socket, hold the port without listening, and reset open connections."""
        if self._site is not None and self._runner is not None and self._runner.server is not None:
            await self._site.stop()
            self._site = None
            self._held = _bound(self.port)
            for connection in list(self._runner.server.connections):
                reset(connection.transport)

    def _listen(self, on: bool, after_s: float) -> None:  # noqa: FBT001 - a callback whose switch is what it is about
        """Open or close the listening socket, from any thread; at once means before this returns, outside the loop."""
        switch = self._open if on else self._close
        if after_s or self._loop.inside:
            self._loop.later(after_s, switch)
        else:
            self._loop.call(switch())

    def _release(self) -> None:
        """Let hanging requests go, from any thread."""
        self._loop.soon(self._control.release)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to the loopback port, not yet listening."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise CannotListenError(f"cannot listen on {HOST}:{port} ({error.strerror}); pass port=0") from None
    return bound
