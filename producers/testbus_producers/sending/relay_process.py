"""The relay: a process of its own that publishes a producer's spool, so that the tests' process does nothing of it.

It is nobody's child and in a session of its own: a test that waits for all children, or looks at them, does not meet
it, and Ctrl-C is for the tests. Nothing but the spool is between the two. It ends within seconds of its producer,
however that ends, and what it could not send stays there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import clock
from testbus_producers.progress import PROGRESS, Progress
from testbus_schemas import wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_producers.spool.folder import Folder

#: Beginnings of the variables that would make other tools take the relay for a part of the tests.
_NOT_INHERITED: Final = ("COV_CORE_", "COVERAGE_", "PYTEST_", "PYTHONDEVMODE", "PYTHONWARNINGS", "TESTBUS_")

#: Starts a process and leaves it behind: its parent is gone before the first test begins.
_LEAVE_BEHIND: Final = 'exec 3<&0; "$@" <&3 3<&- >/dev/null & echo $!'

#: What the relay runs.
_SENDER: Final = "testbus_producers.sending.sender"

#: Seconds between two looks at what the relay says, when the session waits for it.
_LOOK_S: Final = 0.004

#: Bound in seconds of the start of the process that starts the relay.
_START_S: Final = 10.0

#: Seconds between two looks at the spool: few wake-ups, and well within the second that a result may be old.
POLL_S: Final = wire.MAX_RESULT_AGE_S / 2

_kill = os.kill
_sleep = time.sleep


@dataclass(frozen=True, kw_only=True)
class RelayReport:
    """What became of a spool."""

    #: Events that were confirmed.
    events: int = 0
    #: Results in them.
    results: int = 0
    #: Whether everything was.
    complete: bool = False
    #: Why not, None when nothing failed.
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a relay is to do; plain data, so that it can be handed over as JSON."""

    #: The producer's id, and its context as far as it was known at its start.
    producer: str
    context: Mapping[str, Any]
    #: Folder where git is asked for what the context lacks; None when nobody is to be asked.
    folder: str | None
    #: The project's folder, and what is to be recorded of it and of the machine; some of `settings.RECORDS`.
    root: str
    record: Sequence[str]
    #: Feature flags as they were set, and the user's patterns of what is redacted in them.
    flags: Mapping[str, str]
    redact: Sequence[str]
    #: What authors are called by; see `settings.AUTHORS`.
    authors: str
    #: The project that somebody named; None when it is the repository's.
    project: str | None
    #: Bound in seconds of what is done after the producer's end.
    exit_timeout_s: float
    #: Seconds between two signs of life.
    heartbeat_s: float
    #: The producer's process, and when it began in the system's words.
    process: int
    began: str | None
    #: Seconds between two looks at the spool.
    poll_s: float


class Relay:
    """The relay of one spool, as its producer knows it. For one thread."""

    def __init__(self, folder: Folder, url: str, *, allow_plaintext: bool, task: Task) -> None:
        """Only remember; `start` begins. Raises OSError when the spool has no progress file."""
        #: The spool.
        self.folder = folder
        #: Where it is published.
        self.url = url
        #: What is to be done.
        self.task = task
        self._allow_plaintext = allow_plaintext
        self._progress = Progress.open(folder.path / PROGRESS)
        self._reason: str | None = None
        #: Its process; None when it could not be started.
        self.process: int | None = None

    def start(self) -> None:
        """Start the process, and leave it to itself."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        request = {
            "url": self.url,
            "allow_plaintext": self._allow_plaintext,
            "folder": str(self.folder.path),
            "lock": self.folder.lock,
            "task": asdict(self.task),
        }
        # Not with this process's sys.path: a test folder's own `select.py` would go before the standard one.
        command = ["/bin/sh", "-c", _LEAVE_BEHIND, "testbus-relay", sys.executable, "-P", "-m", _SENDER]
        try:
            starting = subprocess.run(  # noqa: S603 ourselves
                command,
                input=json.dumps(request).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
                pass_fds=[self.folder.lock],
                timeout=_START_S,
                check=True,
            )
            self.process = int(starting.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            self._reason = f"no relay could be started: {getattr(error, 'strerror', None) or error}"

    def finish(self, timeout: float, end: bytes | None = None) -> RelayReport:
        """Wait for at most `timeout` seconds until all is sent; return what became of the spool.

        `end` is the producer's last record when the disk has no room for it.
        """
        deadline = clock.monotonic() + timeout
        self._progress.note_end(end)
        again = True
        sent = self._progress.sent()
        while not sent.get("done") and clock.monotonic() < deadline:
            if not self._ring():
                if not again or self._progress.sent().get("done"):
                    break
                again = False
                self.start()
            _sleep(_LOOK_S)
            sent = self._progress.sent()
        self._progress.close()
        complete = bool(sent.get("complete"))
        reason = sent.get("reason") or self._reason or ("no answer in time" if again else "the relay process ended")
        return RelayReport(
            events=sent.get("events", 0),
            results=sent.get("results", 0),
            complete=complete,
            reason=None if complete else reason,
        )

    def leave(self) -> None:
        """Close what a forked child has of it."""
        self._progress.close()

    def _ring(self) -> bool:
        """Wake the process; False when it is gone. The signal does nothing to any other with its number."""
        if self.process is None:
            return False
        try:
            _kill(self.process, signal.SIGCONT)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
