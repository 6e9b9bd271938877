"""What can go wrong on the consumers' side, outside a handler's own outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbus_schemas.errors import TestbusError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong."""

    #: The file, or whatever the data come from.
    source: str
    #: Line in the file, from 1; None where there is none.
    line: int | None
    #: Its key from the top, as `consumers.gates.rules.0.minimum`; "" for the file as a whole.
    key: str
    #: What is wrong, and what is allowed.
    text: str

    def __str__(self) -> str:
        """Return it as one line: `testbus.yaml:7: consumers.gates.rulez: unknown key; allowed here: rules`."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConsumerError(TestbusError):
    """Something about the consumers' set-up or state is wrong; the message says what to do."""

    def __init__(self, detail: str = "") -> None:
        """Take what is wrong, where; without it the class's own docstring speaks."""
        super().__init__(detail or (type(self).__doc__ or "").strip())


class SettingsError(ConsumerError):
    """The configuration is not usable: correct the named key, or see `testbus config show`."""

    def __init__(self, detail: str = "", faults: Iterable[Fault] = ()) -> None:
        """Take what is wrong, as text or as faults; of these every one is a line, in the order of the file."""
        #: What is wrong, each with its place; empty where that is no matter of a place.
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.line or 0, fault.key)))
        super().__init__(detail or "\n".join(map(str, self.faults)))


class SecretError(SettingsError):
    """A secret that the configuration refers to is not there: set the variable or the file that it names."""


class UnknownConsumerError(ConsumerError):
    """No such consumer or target is configured: see `testbus config show`."""


class StateError(ConsumerError):
    """The state's database cannot be used: see `testbus check`, then `testbus db upgrade`."""


class NoStateError(StateError):
    """A queue has no state yet: its consumer has not handled anything, or `testbus db upgrade` has not been run."""


class NoRecordError(ConsumerError):
    """Nothing is kept of a run's decision: `testbus replay runs` brings it back."""


class LeaseLostError(ConsumerError):
    """Another worker took over while this one was away; its work holds, and this one's is given up."""


class TargetDownError(ConsumerError):
    """A target cannot be reached or is not able to answer; events for it wait, and none is given up."""


class NotDoneError(ConsumerError):
    """A target has surely not done what it was asked; it may be asked again without looking first."""


class UnsettledError(ConsumerError):
    """Whether a target did what it was asked cannot be known yet: look again later."""

    def __init__(self, detail: str, after: timedelta) -> None:
        """Take what is not known, and how long to wait before looking."""
        super().__init__(detail)
        #: How long to wait.
        self.after = after


class BreakerOpenError(ConsumerError):
    """The target was found down a moment ago and is left alone; the event waits, and is not given up."""
