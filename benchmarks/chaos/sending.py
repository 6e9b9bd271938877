"""Publishing the load as runners do: whatever the broker has not confirmed is kept, and published again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from testbus_broker.errors import Unconfirmed
from testbus_broker.publisher import ConfirmedPublisher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.message import Message

#: Messages published at once.
_BATCH: Final = 50

#: Seconds that confirms may take before the rest is published again.
_CONFIRM_S: Final = 3.0


class Sending(threading.Thread):
    """Publishes as many messages as it is told to."""

    def __init__(self, url: str, messages: Sequence[Message]) -> None:
        """Take where to publish what; nothing is published before `release`."""
        super().__init__(name="chaos-sending", daemon=True)
        self._publisher = ConfirmedPublisher(url)
        self._messages = messages
        self._released = 0
        self._changed = threading.Condition()
        self._given_up = False
        #: How many are confirmed.
        self.confirmed = 0
        #: How many had to be published again.
        self.repeated = 0

    def release(self, share: float) -> None:
        """Let so much of all messages be published, from 0 to 1."""
        with self._changed:
            self._released = max(self._released, round(share * len(self._messages)))
            self._changed.notify_all()

    @property
    def done(self) -> bool:
        """Tell whether everything is confirmed."""
        return self.confirmed == len(self._messages)

    def stop(self) -> None:
        """End, whatever is left."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
        self._publisher.close(1)
        self.join(10)

    def run(self) -> None:
        """Publish until all is confirmed."""
        while not self._given_up and not self.done:
            with self._changed:
                self._changed.wait_for(lambda: self._given_up or self._released > self.confirmed)
                batch: Sequence[Message] = self._messages[self.confirmed : self._released][:_BATCH]
            size = len(batch)
            while batch and not self._given_up:
                try:
                    self._publisher.publish(batch, _CONFIRM_S)
                except Unconfirmed as error:
                    batch = error.unconfirmed
                    self.repeated += len(batch)
                else:
                    self.confirmed += size
                    break
