"""What a replay wants of the queue that it sends to: carried by its events, and by the timers that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

#: Between the parts of a mark.
_SEPARATOR: Final = ":"

#: Part of a mark with which notifications are sent.
_NOTIFY: Final = "notify"


class Mode(StrEnum):
    """What is done with events of the past."""

    #: What was never seen is handled; no notification is sent.
    FILL = "fill"
    #: What was reset is handled again; no target is called, and no notification sent.
    RECOMPUTE = "recompute"
    #: What was done at a target is looked for there, and done again if it is gone.
    RESEND = "resend"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One replay, as its events are marked with it."""

    id: str
    #: What it wants.
    mode: Mode = Mode.FILL
    #: Whether notifications are sent.
    notify: bool = False

    @property
    def mark(self) -> str:
        """Return what the events carry; "" for what is as good as news. At most 64 characters."""
        if self.mode is Mode.FILL:
            return "" if self.notify else self.id
        return _SEPARATOR.join([self.mode, *([_NOTIFY] if self.notify else []), self.id])

    @property
    def derived_mark(self) -> str:
        """Return what events carry that follow from it: other consumers take them as a gap that is filled."""
        return "" if self.notify else self.id

    @classmethod
    def of(cls, mark: str) -> Self | None:
        """Return the replay of a mark, None for what happens now."""
        if not mark:
            return None
        first, *others = mark.split(_SEPARATOR)
        if first not in {Mode.RECOMPUTE, Mode.RESEND} or not others:
            return cls(id=mark)
        return cls(id=others[-1], mode=Mode(first), notify=_NOTIFY in others[:-1])


def mode_of(mark: str) -> Mode | None:
    """Return what the replay of a mark wants, None for what happens now."""
    replay = Replay.of(mark)
    return replay.mode if replay else None


def is_past(mark: str) -> bool:
    """Tell whether what carries the mark sends no notifications."""
    replay = Replay.of(mark)
    return replay is not None and not replay.notify


def derived_mark(mark: str) -> str:
    """Return the mark of events that follow from what carries this one."""
    replay = Replay.of(mark)
    return replay.derived_mark if replay else ""
