"""What can be wrong with an event."""

from __future__ import annotations


class TestbusError(Exception):
    """Something that testbus knows and can explain; its message says what happened, where, and what to do."""

    #: Not for pytest to collect.
    __test__ = False


class SchemaError(TestbusError, ValueError):
    """The event cannot be read; the message says why. It belongs in a dead-letter queue, with its raw body."""

    def __init__(self, detail: str = "") -> None:
        """Take what is wrong, where; without it the class's own docstring speaks."""
        super().__init__(detail or (type(self).__doc__ or "").strip())


class MalformedEventError(SchemaError):
    """The body is not a CloudEvent of the announced form: fix the producer, then redrive."""


class UnknownEventTypeError(SchemaError):
    """No event of this type is known here: upgrade the consumers before the runners, then redrive."""


class UnsupportedVersionError(SchemaError):
    """The event has a major version that this code does not read: upgrade the consumers, then redrive."""


class EventTooLargeError(SchemaError):
    """The event is larger than the bound: send fewer results or less output in one event."""
