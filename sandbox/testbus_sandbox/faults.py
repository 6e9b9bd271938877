"""Faults: what a server of the sandbox does instead of, before or after answering properly."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import InvalidFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What a fault can do to a request.
#: `latency` answers late; `hang` accepts and never answers until the faults are cleared; `status` answers an error;
#: `slow_body` sends the answer's bytes in pieces; `reset` cuts the connection (TCP RST) without an answer.
ACTIONS: Final = ("latency", "hang", "status", "slow_body", "reset")

#: HTTP statuses that a fault may answer.
_STATUSES: Final = range(400, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, and which requests it hits."""

    #: One of ACTIONS.
    action: str
    #: Milliseconds that latency adds, or that a slow body takes.
    delay_ms: int = 0
    #: HTTP status of the action `status`.
    status: int = 500
    #: Seconds in the header Retry-After of the action `status`; None leaves it out.
    retry_after_s: int | None = None
    #: Regular expression searched in the request's path; None hits every path.
    path: str | None = None
    #: HTTP method, upper case; None hits every method.
    method: str | None = None
    #: How many requests it hits; None hits all until it is cleared.
    times: int | None = None
    #: How many requests that it would hit it lets go by first.
    skip: int = 0
    #: True when the server does what was asked before the fault: the answer is lost, the effect is not.
    act_first: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidFaultError for values that mean nothing."""
        if self.action not in ACTIONS:
            raise InvalidFaultError(f"unknown action {self.action!r}: use one of {', '.join(ACTIONS)}")
        if self.status not in _STATUSES:
            raise InvalidFaultError(f"status {self.status} is no error: use 400 to 599")
        if min(self.delay_ms, self.skip) < 0 or (self.times is not None and self.times < 1):
            raise InvalidFaultError("delay_ms and skip may not be negative and times not less than 1")
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise InvalidFaultError(f"path {self.path!r} is no regular expression: {error}") from None

    @classmethod
    def read(cls, data: object) -> Fault:
        """Return the fault that JSON describes, with the names of the fields; raise InvalidFaultError."""
        if not isinstance(data, dict):
            raise InvalidFaultError("a fault is a JSON object")
        known = {entry.name: str(entry.type) for entry in fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise InvalidFaultError(f"unknown field {name!r}: use {', '.join(known)}")
            if value is not None and type(value).__name__ not in known[name]:
                raise InvalidFaultError(f"field {name!r} should be {known[name]}, not {value!r}")
        if "action" not in data:
            raise InvalidFaultError(f"a fault needs an action: one of {', '.join(ACTIONS)}")
        return cls(**data)

    def hits(self, method: str, path: str) -> bool:
        """Return whether a request is one of those it is for."""
        if self.method is not None and self.method != method:
            return False
        return self.path is None or re.search(self.path, path) is not None


@dataclass(slots=True)
class _Active:
    """A fault that is set, how many requests it still hits, and how many it lets go by before."""

    fault: Fault
    left: int | None
    skip: int


@dataclass(slots=True)
class Faults:
    """The faults of one server; every method may be called from any thread."""

    #: Called to close (False) or open (True) the server's listening socket, after so many seconds.
    listen: Callable[[bool, float], None]
    #: Called to let go the requests that hang.
    release: Callable[[], None]
    _active: list[_Active] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that still hit requests, in the order they were set."""
        with self._lock:
            return tuple(entry.fault for entry in self._active)

    def add(self, fault: Fault) -> None:
        """Set a fault on top of those that are set."""
        with self._lock:
            self._active.append(_Active(fault, fault.times, fault.skip))

    def latency(self, delay_ms: int, **which: Any) -> None:
        """Answer `delay_ms` milliseconds late; `which` are fields of Fault (path, method, times, skip, act_first)."""
        self.add(Fault(action="latency", delay_ms=delay_ms, **which))

    def hang(self, **which: Any) -> None:
        """Accept requests and do not answer before `clear`; `which` as for `latency`."""
        self.add(Fault(action="hang", **which))

    def status(self, status: int, *, retry_after_s: int | None = None, **which: Any) -> None:
        """Answer with an HTTP error, act_first=True after doing what was asked; `which` as for `latency`."""
        self.add(Fault(action="status", status=status, retry_after_s=retry_after_s, **which))

    def slow_body(self, delay_ms: int, **which: Any) -> None:
        """Send the body of answers in pieces over `delay_ms` milliseconds; `which` as for `latency`."""
        self.add(Fault(action="slow_body", delay_ms=delay_ms, **which))

    def reset(self, **which: Any) -> None:
        """Cut the connection of requests without an answer; `which` as for `latency`."""
        self.add(Fault(action="reset", **which))

    def refuse(self, seconds: float | None = None, *, after_s: float = 0) -> None:
        """Refuse connections, in `after_s` seconds, until `clear` or for `seconds`.

        The listening socket is closed (its port stays ours) and open connections are reset.
        """
        self.listen(False, after_s)  # noqa: FBT003 - the callback's one switch is what it is about
        if seconds is not None:
            self.listen(True, after_s + seconds)  # noqa: FBT003 - as above

    def clear(self) -> None:
        """End every fault: hanging requests go on, connections are accepted again."""
        with self._lock:
            self._active.clear()
        self.release()
        self.listen(True, 0)  # noqa: FBT003 - as above

    def take(self, method: str, path: str) -> tuple[Fault, ...]:
        """Return the faults for one request: latencies and at most one other, each counted down."""
        if not self._active:
            return ()
        taken: list[Fault] = []
        with self._lock:
            for entry in tuple(self._active):
                if not entry.fault.hits(method, path):
                    continue
                if entry.skip:
                    entry.skip -= 1
                    continue
                taken.append(entry.fault)
                if entry.left is not None:
                    entry.left -= 1
                    if entry.left == 0:
                        self._active.remove(entry)
                if entry.fault.action != "latency":
                    break
        return tuple(taken)


def described(fault: Fault) -> Mapping[str, object]:
    """Return a fault as JSON."""
    return asdict(fault)
