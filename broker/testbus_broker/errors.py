"""What can go wrong between us and the broker, and between us and the disk that stands in for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_schemas.errors import TestbusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_broker.message import Message


class BrokerError(TestbusError):
    """The broker or the log did not do what it was asked; nothing that was confirmed is lost, so try again later."""

    def __init__(self, detail: str = "") -> None:
        """Take what happened, where, and what to do; without it the class's own docstring speaks."""
        super().__init__(detail or " ".join((type(self).__doc__ or "").split()))


class BrokerUrlError(BrokerError):
    """The URL of the broker is not usable: write amqps://user:password@host/vhost, or file:///path for no broker."""


class PlaintextRefusedError(BrokerUrlError):
    """The URL would send the password in clear over a network: use amqps://, or allow plaintext explicitly."""


class ConnectFailedError(BrokerError):
    """The broker could not be reached in time: check host, port, credentials and vhost with `testbus check`."""


class ConnectionLostError(BrokerError):
    """The connection to the broker broke while it was used: try again, it is made anew."""


class BrokerTimeoutError(BrokerError):
    """The broker did not answer in time: it is overloaded or cut off; try again later."""


class SubscriptionNameError(BrokerError, ValueError):
    """A subscription is named `<consumer>` or `<consumer>.<target>`, each of a-z, 0-9, _ and -."""


class QueueMissingError(BrokerError):
    """The queue does not exist: run `testbus broker declare`."""


class RefusedError(BrokerError):
    """The broker refused what was asked: the account lacks the right, or something of that name is in use."""


class DeclareRefusedError(RefusedError):
    """The broker refused to declare: the account needs the right to configure and bind `testbus.*`."""


class AccountNameError(BrokerError, ValueError):
    """A runner's account is named by its project: 1 to 64 of a-z, 0-9 and -."""


class UsersError(BrokerError):
    """The accounts could not be declared: an administrator of the broker is needed, by HTTP or with rabbitmqctl."""


class Unconfirmed(BrokerError):  # noqa: N818 the field's word, and what callers retry
    """Some messages were not confirmed by the broker: publish just these again."""

    def __init__(self, unconfirmed: Sequence[Message], reason: str = "the broker did not say why") -> None:
        """Take the messages that were not confirmed, in their order, and why."""
        super().__init__(f"{len(unconfirmed)} message(s) not confirmed: {reason}")
        #: The messages that may or may not have arrived, in the order they were given.
        self.unconfirmed = tuple(unconfirmed)
        #: What the broker, the connection or the clock said.
        self.reason = reason


class SegmentError(BrokerError):
    """A segment file cannot be used as asked."""


class SegmentLockedError(SegmentError):
    """Another live process writes this segment: leave it alone until that process is gone."""


class SegmentClosedError(SegmentError):
    """This writer is closed, or belongs to the parent of this process: open one of your own."""


class RecordSizeError(SegmentError):
    """A record must have at least one byte and fit the bound of the segment format: cut it into several."""
