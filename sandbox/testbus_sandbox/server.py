"""Runs aiohttp applications on loopback, in one background thread with its own event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from testbus_sandbox.errors import CannotListenError
from testbus_sandbox.faults import Faults
from testbus_sandbox.middleware import Control, reset
from testbus_sandbox.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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
