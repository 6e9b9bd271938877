"""What can go wrong beside the tests, and what to do about it."""

from __future__ import annotations


class ProducerError(Exception):
    """Something beside the tests went wrong; the tests themselves are not affected."""

    def __init__(self, message: str | None = None) -> None:
        """Keep the message; without one the class's docstring is it."""
        super().__init__(message or type(self).__doc__)


class SettingError(ProducerError):
    """A setting has a value that is not understood: correct the variable or option that it names."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        """Name the variable or option, show its value, and say which form is allowed."""
        super().__init__(f"{name}={value!r}: expected {allowed}")
        #: Variable or option.
        self.name = name


class SpoolError(ProducerError):
    """The spool folder cannot be used: look at its rights and the free space, or set TESTBUS_SPOOL to another."""


class SpoolBusyError(ProducerError):
    """The spool belongs to a process that still runs, or another flush is sending it: nothing to do."""
