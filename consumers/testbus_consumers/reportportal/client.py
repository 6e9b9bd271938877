"""A thin HTTP client of ReportPortal that sees every status, used from plain functions.

ReportPortal's own client hides most errors and sleeps; its request models are used here (`*_payloads`), its transport
is not. Nothing is sent anywhere but to the endpoint, and no thread is started.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import quote

import aiohttp

from testbus_consumers.errors import SecretError, TargetDownError
from testbus_consumers.rate_limits import LONGEST_S
from testbus_consumers.reportportal import transport
from testbus_consumers.reportportal.api import Api
from testbus_consumers.reportportal.peers import Others

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from testbus_consumers.rate_limits import Limits
    from testbus_consumers.reportportal.settings import ReportPortalTarget
    from testbus_consumers.reportportal.transport import Reply
    from testbus_consumers.runtime import Effects

#: Suites that one process remembers to be there, of all launches together.
_SUITES_REMEMBERED: Final = 20_000

#: Seconds after which the project's types of defects are asked for again: people add some.
_FRESH_S: Final = 600.0


class KnownSuites:
    """Suites that are known to be there; safe to use from any thread."""

    def __init__(self) -> None:
        """Know none yet."""
        self._lock = threading.Lock()
        #: Launch and suite → whether the suite is known to have its description.
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def missing(self, launch: str, suites: Iterable[str]) -> set[str]:
        """Return those uuids that are not known to be there."""
        found = set()
        with self._lock:
            for suite in suites:
                if (launch, suite) in self._known:
                    self._known.move_to_end((launch, suite))
                else:
                    found.add(suite)
        return found

    def remember(self, launch: str, suites: Iterable[str]) -> None:
        """Keep in mind that suites are there."""
        with self._lock:
            for suite in suites:
                self._known.setdefault((launch, suite), False)
            self._bound()

    def undescribed(self, launch: str, suites: Iterable[str]) -> set[str]:
        """Return those uuids that are not known to have their description."""
        with self._lock:
            return {suite for suite in suites if not self._known.get((launch, suite))}

    def remember_described(self, launch: str, suites: Iterable[str]) -> None:
        """Keep in mind that suites are there and have their description."""
        with self._lock:
            self._known.update(dict.fromkeys(((launch, suite) for suite in suites), True))
            self._bound()

    def drop(self, launch: str) -> None:
        """Forget the suites of a launch: perhaps they are not there after all."""
        with self._lock:
            for key in [key for key in self._known if key[0] == launch]:
                del self._known[key]

    def _bound(self) -> None:
        while len(self._known) > _SUITES_REMEMBERED:
            self._known.popitem(last=False)


class KnownTypes:
    """The project's types of defects, as they were a while ago; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know none yet."""
        self._clock = clock
        self._known: tuple[float, Mapping[str, str]] | None = None

    def known(self) -> Mapping[str, str] | None:
        """Return the types by name; None when it is time to ask."""
        known = self._known
        return known[1] if known and self._clock() - known[0] < _FRESH_S else None

    def remember(self, types: Mapping[str, str]) -> Mapping[str, str]:
        """Keep the types in mind for a while."""
        self._known = self._clock(), types
        return types

    def drop(self) -> None:
        """Ask again next time: one of them was refused."""
        self._known = None


T = TypeVar("T")

#: Seconds that an idle connection is kept; below what gateways commonly allow, so that they do not close it first.
_KEEP_ALIVE_S: Final = 30.0

#: Seconds that a request waits for its turn at most: longer than any number of workers makes it.
_PATIENCE_S: Final = 3600.0

#: Launches that one process remembers to be there.
_LAUNCHES_REMEMBERED: Final = 512


@dataclass(kw_only=True)
class KnownLaunch:
    """A launch that is known to be there."""

    uuid: str
    #: When it started, in milliseconds since the epoch: no item may start earlier.
    start_ms: int
    #: Variants that its attributes tell of.
    variants: set[str] = field(default_factory=set)
    #: Variant, shard and CI attempt → the producer that reported it first.
    owners: dict[tuple[str, int, int], str] = field(default_factory=dict)
    #: Its number among the launches of its name; None when ReportPortal does not say.
    number: int | None = None
    #: Address of its page.
    url: str = ""


class ReportPortalClient:
    """Talks to one target: each thread that calls has an event loop and a connection pool of its own."""

    def __init__(self, settings: ReportPortalTarget) -> None:
        """Take the target's settings; nothing is connected yet, and the key is read when it is used."""
        #: The target's settings.
        self.settings = settings
        self._base = f"{settings.endpoint}/api/v1/{quote(settings.project, safe='')}"
        #: Server and project, for people.
        self.where = f"ReportPortal at {settings.endpoint}, project {settings.project}"
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[_Loop] = []
        self._launches: OrderedDict[str, KnownLaunch] = OrderedDict()
        self._limits: tuple[Limits, str] | None = None
        #: Suites that are known to be there.
        self.suites = KnownSuites()
        #: The project's types of defects.
        self.types = KnownTypes()
        #: The other targets, as far as this one has to know of them.
        self.others = Others(settings.others, ReportPortalClient)

    def call(self, function: Callable[[Api], Awaitable[T]]) -> T:
        """Run a coroutine function on this thread's loop and return its result.

        Raises what `answers.read` raises, and TargetDownError when nothing is connected or answered in time.
        """
        try:
            key = self.settings.api_key.reveal()
        except SecretError as error:
            raise TargetDownError(f"{self.where}: {error}") from None
        return self._loop().run(lambda session: function(Api(session, self._base, key, self.where, self._turn)))

    def ask(self, path: str, *, key: str | None = None) -> Reply:
        """Ask for a path below the endpoint and return the answer, whatever it is; for `testbus check`.

        Raises TargetDownError where there is none.
        """
        return self._loop().run(lambda session: transport.ask(session, self.settings.endpoint + path, key, self.where))

    def keep_to(self, limits: Limits, queue: str) -> float:
        """Make every request from now on take a turn of the queue's, if the target has a rate.

        Returns the seconds after which to begin, 0 for at once: where so many workers are busy already that each would
        get less than a tenth of a second's requests, one more would only slow all of them down.
        """
        rate = self.settings.rate_per_s
        if rate is None:
            return 0.0
        self._limits = (limits, queue)
        wait = limits.take(queue, every_s=1 / rate, turns=0)
        return wait if wait > max(1 / rate, min(LONGEST_S, self.settings.concurrency / 10)) else 0.0

    def bounded(self, jobs: Iterable[Callable[[], Awaitable[T]]]) -> Awaitable[list[T]]:
        """Run the jobs, `concurrency` at once, and return their results in order; the first error ends all of them."""
        return _bounded(self.settings.concurrency, jobs)

    def known(self, uuid: str) -> KnownLaunch | None:
        """Return the launch of that uuid if this process knows it to be there."""
        with self._lock:
            return self._launches.get(uuid)

    def remember(self, launch: KnownLaunch) -> KnownLaunch:
        """Keep in mind that a launch is there."""
        with self._lock:
            launch = self._launches.setdefault(launch.uuid, launch)
            self._launches.move_to_end(launch.uuid)
            while len(self._launches) > _LAUNCHES_REMEMBERED:
                self._launches.popitem(last=False)
        return launch

    def drop(self, uuid: str) -> None:
        """Forget a launch and its suites: they were not there after all."""
        self.suites.drop(uuid)
        with self._lock:
            self._launches.pop(uuid, None)

    def close(self) -> None:
        """Close every connection and loop, those to other targets too; no thread may be calling."""
        self.others.close()
        with self._lock:
            loops, self._open = self._open, []
        for loop in loops:
            loop.close()

    async def _turn(self) -> None:
        rate = self.settings.rate_per_s
        if rate is None or self._limits is None:
            return
        limits, queue = self._limits
        # In a thread: a Redis may be asked. The turn is taken in any case: what was begun is brought to its end.
        wait = await asyncio.to_thread(limits.take, queue, every_s=1 / rate, longest_s=_PATIENCE_S)
        await asyncio.sleep(wait)

    def _loop(self) -> _Loop:
        loop: _Loop | None = getattr(self._local, "loop", None)
        if loop is None or loop.closed:
            loop = self._local.loop = _Loop(self.settings, self.where)
            with self._lock:
                self._open.append(loop)
        return loop


class _Loop:
    """One thread's event loop, with the connection pool that lives in it."""

    def __init__(self, settings: ReportPortalTarget, where: str) -> None:
        """Open nothing yet. Raises TargetDownError when a file of the TLS options cannot be used."""
        self._connections = settings.concurrency
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._tls = transport.tls(settings, where)
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None
        self.closed = False

    def run(self, function: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
        """Run a coroutine function in the loop."""
        # In the caller's context, not in that of the first call: leases are looked up there.
        return self._runner.run(self._with_session(function), context=contextvars.copy_context())

    def close(self) -> None:
        """Close connections and loop."""
        self.closed = True
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    async def _with_session(self, function: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=_KEEP_ALIVE_S, ssl=self._tls)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return await function(self._session)


async def _bounded(limit: int, jobs: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    free = asyncio.Semaphore(limit)

    async def one(job: Callable[[], Awaitable[T]]) -> T:
        async with free:
            return await job()

    tasks = [asyncio.ensure_future(one(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: What a handler here is given.
PortalEffects: TypeAlias = "Effects[ReportPortalTarget, ReportPortalClient]"
