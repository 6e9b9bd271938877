"""What a test says while it runs: log records, steps in steps, files, metrics.

It is kept in the process where the test runs, and bounded. One recording is one attempt of one test. What is kept is
plain data, so that xdist can carry it. Importing this costs next to nothing: it comes with `import testbus` in programs
that publish nothing.
"""

from __future__ import annotations

import math
import operator
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections.abc import Callable

#: Records that are kept from the beginning; the last ones, nearest to a failure, take the rest of the room.
_FIRST: Final = wire.MAX_LOGS // 4

#: Files of one attempt, and the characters of their contents in base64.
MAX_FILES: Final = 32
_MAX_CONTENTS: Final = 4 * 1024 * 1024

#: Metrics of one attempt.
MAX_TEST_METRICS: Final = 100

#: Characters of the name of a step or a logger.
_MAX_NAME: Final = 256


#: Which of two values of a metric may be the better one.
_BETTER: Final = ("lower", "higher")


class Node:
    """A step of a recording."""

    __slots__ = ("above", "began", "depth", "name", "outcome", "place", "recording", "seconds", "started")

    def __init__(self, recording: Recording, above: Node | None, name: str, place: int) -> None:
        """Begin it now, below another one."""
        self.recording = recording
        self.above = above
        self.depth: int = above.depth + 1 if above else 1
        self.name = name
        #: Its number among the steps of the recording, in the order of their beginnings, from 0.
        self.place = place
        self.began = clock.now()
        self.started = clock.monotonic()
        #: How long it took; None while it has not ended.
        self.seconds: float | None = None
        self.outcome = "passed"

    def end(self, outcome: str) -> None:
        """End it now."""
        self.seconds = clock.monotonic() - self.started
        self.outcome = outcome


#: The step that this thread or task is in.
_inside: ContextVar[Node | None] = ContextVar("testbus_step", default=None)


class Recording:
    """What one attempt of one test said."""

    def __init__(self) -> None:
        """Begin with nothing."""
        #: Whether anything was said.
        self.used = False
        self._steps: list[Node] = []
        self._left_steps = 0
        self._first: list[tuple[Node | None, dict[str, Any]]] = []
        self._last: deque[tuple[Node | None, dict[str, Any]]] = deque(maxlen=wire.MAX_LOGS - _FIRST)
        self._logged = 0
        self._files: list[dict[str, Any]] = []
        self._contents = 0
        self._metrics: dict[str, dict[str, Any]] = {}

    def log(self, level: str, message: str | Callable[[], str], logger: str) -> None:
        """Take a log record, of the step that the caller is in; a message that is called is asked for at the end."""
        self.used = True
        self._logged += 1
        record = {"time": clock.now(), "level": level, "message": message, "logger": plain(logger[:_MAX_NAME])}
        kept = self._first if len(self._first) < _FIRST else self._last
        kept.append((self.inside(), record))

    def begin(self, name: str) -> Node | None:
        """Begin a step inside of the one that the caller is in; None when there is no room for it."""
        self.used = True
        above = self.inside()
        if len(self._steps) >= wire.MAX_STEPS or (above and above.depth >= wire.MAX_STEP_DEPTH):
            self._left_steps += 1
            return None
        node = Node(self, above, plain(name.strip()[:_MAX_NAME]) or "step", len(self._steps))
        self._steps.append(node)
        return node

    def attach(self, file: dict[str, Any]) -> None:
        """Take a file: what `artifact.recorded` says of it; without its content when there is no room for it."""
        self.used = True
        if len(self._files) >= MAX_FILES:
            self.log("warn", f"{file['name']} is not attached: a test may have {MAX_FILES} files", "testbus")
            return
        self._contents += len(file.get("content") or "")
        if self._contents > _MAX_CONTENTS and file.pop("content", None):
            self.log("warn", f"{file['name']} is only named: the files of one test are too large", "testbus")
        self._files.append(file)

    def metric(self, name: Any, value: Any, unit: Any, better: Any) -> None:
        """Take a value; of one name the last one holds. Raises TypeError and ValueError for what is none."""
        if not isinstance(name, str) or not isinstance(unit, str) or not name.strip():
            raise TypeError("a metric has a name, and its unit is a text")
        if better not in _BETTER:
            raise ValueError(f"better is one of {', '.join(_BETTER)}")
        # Numbers of other libraries are no subclasses of `int`, and say so.
        number = float(value if isinstance(value, float) else operator.index(value))
        if not math.isfinite(number):
            raise ValueError(f"{number} is no value of a metric")
        self.used = True
        if name not in self._metrics and len(self._metrics) >= MAX_TEST_METRICS:
            raise ValueError(f"{name[:_MAX_NAME]} is left out: a test may have {MAX_TEST_METRICS} metrics")
        name = plain(name.strip()[: wire.MAX_METRIC_NAME])
        unit = plain(unit.strip()[: wire.MAX_METRIC_UNIT])
        self._metrics[name] = {"name": name, "value": number, "unit": unit, "better": better}

    def inside(self) -> Node | None:
        """Return the step that the caller is in; a step that has ended, or is another test's, is none."""
        node = _inside.get()
        while node is not None and (node.seconds is not None or node.recording is not self):
            node = node.above
        return node

    def carried(self, *, with_logs: bool) -> dict[str, Any]:
        """Return all of it as plain data; a step that goes on ends here."""
        recorded: dict[str, Any] = {}
        described = [_as_data(node) for node in self._steps]
        for node, step in zip(self._steps, described, strict=True):
            siblings = (
                described[node.above.place].setdefault("steps", []) if node.above else recorded.setdefault("steps", [])
            )
            siblings.append(step)
        left = [f"{self._left_steps} more steps"] if self._left_steps else []
        if with_logs:
            kept = _fitting([(owner, _written(record)) for owner, record in (*self._first, *self._last)])
            for owner, record in kept:
                (described[owner.place] if owner else recorded).setdefault("logs", []).append(record)
            if len(kept) < self._logged:
                left.append(f"{self._logged - len(kept)} of {self._logged} log records")
        if left:
            note = {
                "time": clock.now(),
                "level": "warn",
                "message": f"left out: {', '.join(left)}",
                "logger": "testbus",
            }
            recorded.setdefault("logs", []).append(note)
        if self._files:
            recorded["files"] = self._files
        if self._metrics:
            recorded["metrics"] = list(self._metrics.values())
        return recorded


def _as_data(node: Node) -> dict[str, Any]:
    seconds = clock.monotonic() - node.started if node.seconds is None else node.seconds
    return {"name": node.name, "started_at": node.began, "duration_s": round(seconds, 6), "outcome": node.outcome}


def _written(record: dict[str, Any]) -> dict[str, Any]:
    """Return a log record with its message as text, bounded."""
    message = record["message"]
    text: str = message if isinstance(message, str) else message()
    limit = wire.MAX_LOG_BYTES
    if len(text) > limit:
        text = f"{text[: limit - 64]}\n… {len(text) - limit + 64} characters left out …"
    return {**record, "message": plain(text)}


def _fitting(logged: list[tuple[Node | None, dict[str, Any]]]) -> list[tuple[Node | None, dict[str, Any]]]:
    """Return the records that fit into `MAX_LOGS_BYTES`: some of the first, and the last as far as there is room."""
    sizes = [len(record["message"].encode("utf-8", "replace")) for _, record in logged]
    if sum(sizes) <= wire.MAX_LOGS_BYTES:
        return logged
    room, first = wire.MAX_LOGS_BYTES // 4, 0
    while sizes[first] <= room:
        room -= sizes[first]
        first += 1
    room, last = wire.MAX_LOGS_BYTES * 3 // 4, len(logged)
    while last > first and sizes[last - 1] <= room:
        last -= 1
        room -= sizes[last]
    return logged[:first] + logged[last:]


def plain(text: str) -> str:
    """Return the text as xdist can send it: what cannot be encoded is replaced, and a class of its own left behind."""
    return text if type(text) is str and text.isascii() else str.encode(text, "utf-8", "replace").decode()


class _Current:
    """The recording of the test that runs in this process; None where nothing is published."""

    recording: Recording | None = None


def current() -> Recording | None:
    """Return the recording of the test that runs; None when there is none, or nothing is published."""
    return _Current.recording


def switch(recording: Recording | None) -> Recording | None:
    """Record there from now on; return where it was before."""
    before, _Current.recording = _Current.recording, recording
    return before


def enter(node: Node | None) -> Node | None:
    """Say that this thread or task is in a step from now on; return in which one it was."""
    before = _inside.get()
    _inside.set(node)
    return before
