"""What can go wrong beside the tests, and what to do about it."""

from __future__ import annotations

from testbus_schemas.errors import TestbusError


class ProducerError(TestbusError):
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


class ReportError(ProducerError):
    """A report file cannot be read: nothing of it was published. Have it written anew, then publish again."""

    def __init__(self, path: str, what: str, *, where: str = "", remedy: str = "") -> None:
        """Name the file, the place in it, what is wrong there, and what to do."""
        place = f"{path}, {where}" if where else path
        super().__init__(f"{place}: {what}{f': {remedy}' if remedy else ''}")
        #: The file, as it was found.
        self.path = path


class NoReportError(ReportError):
    """A file is something else than a report: name the reports, or a glob that means no others."""


class NotPublishedError(ProducerError):
    """The broker did not confirm everything: publish again, which counts nothing twice."""

    def __init__(self, place: str, reason: str, sent: int) -> None:
        """Name where it was to go, why it did not, and how many events did."""
        some = f"{sent} events were sent before" if sent else "nothing was sent"
        super().__init__(
            f"{place}: {reason}; {some}. Publish again when the broker answers: the same files have the same ids, "
            "so that nothing is counted twice"
        )
        #: Events that were confirmed.
        self.sent = sent
