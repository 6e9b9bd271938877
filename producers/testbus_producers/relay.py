"""The relay: a process of its own that talks to the broker, so that the tests' process does not.

Importing an AMQP client and serving its connection cost the tests CPU time under the interpreter lock, a tenth of a
short session (measured). The sender's thread hands whole batches over a pipe instead, and learns what was confirmed.
The relay keeps nothing: what it did not confirm is in the spool, and it ends with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from testbus_producers.publishing import Link, LinkState, reachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.message import Message

#: Seconds that an answer may take beyond the time that the publication has.
GRACE_S: Final = 0.5

#: Seconds between two looks of the relay at whether its parent lives: a test that forks may hold the pipe open.
PARENT_S: Final = 5.0

#: Beginnings of the variables that would make other tools take the relay for a part of the tests.
_NOT_INHERITED: Final = ("COV_CORE_", "COVERAGE_", "PYTEST_", "TESTBUS_")


class RemoteLink:
    """A `Link` whose connection is in another process. For one thread."""

    def __init__(self, url: str, *, allow_plaintext: bool = False) -> None:
        """Only remember where to; `allow_plaintext` permits amqp:// to another machine."""
        self._url = url
        self._allow_plaintext = allow_plaintext
        self._process: subprocess.Popen[bytes] | None = None
        self._state = LinkState()

    @property
    def connected(self) -> bool:
        """Tell whether something was confirmed, and nothing failed since."""
        return self._state.connected

    @property
    def slow(self) -> bool:
        """Tell whether the last publication failed only because its time was over."""
        return self._state.slow

    @property
    def reason(self) -> str | None:
        """Return why the last publication failed; None when it did not."""
        return self._state.reason

    def prepare(self) -> None:
        """Start the relay; nothing is connected."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        try:
            self._process = subprocess.Popen(  # noqa: S603 ourselves
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Not with this process's sys.path: a test folder's own `select.py` would go before the standard one.
                env=environment,
                # Ctrl-C is for the tests: what they said last is still to be sent.
                start_new_session=True,
            )
            self._say((self._url, self._allow_plaintext))
        except OSError as error:
            self._lost(f"no relay could be started: {error.strerror or error}")

    def reachable(self, timeout: float) -> bool:
        """Tell whether somebody listens there; only asked after a failure, for then waiting may be in vain."""
        if self.reason is None:
            return True
        said = reachable(self._url, timeout)
        if said is not None:
            self._state = LinkState(reason=said)
        return said is None

    def publish(self, messages: Sequence[Message], timeout: float) -> frozenset[str | None]:
        """Return the message ids of what was confirmed within `timeout` seconds; at first it waits less."""
        if self._process is None:
            self.prepare()
        try:
            self._say((tuple(messages), timeout))
            confirmed, self._state = self._hear(timeout + GRACE_S)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self._lost(f"the relay to the broker ended: {str(error) or 'without a word'}")
            return frozenset()
        return frozenset(confirmed)

    def close(self, timeout: float) -> None:
        """Close the connection, within `timeout` seconds; after a failure a relay that takes longer is ended."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        if self._state.reason is None:
            # All was confirmed, and the closed pipe ends it: nobody need wait for that, nor hear of it at our own end.
            process.returncode = process.poll() or 0
            return
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _say(self, what: object) -> None:
        if self._process is None:
            raise EOFError(self.reason)
        pipe = self._process.stdin
        assert pipe is not None
        pickle.dump(what, pipe, protocol=pickle.HIGHEST_PROTOCOL)
        pipe.flush()

    def _hear(self, timeout: float) -> Any:
        assert self._process is not None
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], timeout)[0]:
            raise EOFError("no answer in time")
        return pickle.load(pipe)  # noqa: S301 from our own child

    def _lost(self, reason: str) -> None:
        self._state = LinkState(reason=reason)
        self.close(0)


def main() -> None:
    """Publish what the parent hands over, until it closes the pipe or is gone."""
    incoming, outgoing = sys.stdin.buffer, sys.stdout.buffer
    url, allow_plaintext = pickle.load(incoming)  # noqa: S301 from our own parent
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    link = Link(url, allow_plaintext=allow_plaintext)
    link.prepare()
    with contextlib.suppress(EOFError, OSError):
        while True:
            _serve(link, incoming, outgoing)
    link.close(1.0)


def _serve(link: Link, incoming: BinaryIO, outgoing: BinaryIO) -> None:
    messages, timeout = pickle.load(incoming)  # noqa: S301 from our own parent
    confirmed = tuple(link.publish(messages, timeout))
    pickle.dump((confirmed, link.state), outgoing, protocol=pickle.HIGHEST_PROTOCOL)
    outgoing.flush()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(0)


if __name__ == "__main__":
    main()
