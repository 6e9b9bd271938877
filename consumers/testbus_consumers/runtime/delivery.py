"""What a driver hands to the policy, and what the policy tells the driver to do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from testbus_consumers.runtime.replay_mark import Mode, is_past, mode_of


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message, as it came from a queue."""

    #: Raw body, as sent.
    body: bytes
    #: "gzip" or None.
    content_encoding: str | None
    #: The key under which the event was first published; None for a request, which has none.
    routing_key: str | None
    #: Counted attempts before this one.
    attempt: int = 0
    #: All delays before this one, counted or not.
    delays: int = 0
    #: Where an answer is expected; None for events.
    reply_to: str | None = None
    #: What the asker knows its question by.
    correlation_id: str | None = None
    #: Account that the broker vouches for as its publisher's; "" when it does not say.
    account: str = ""
    #: Id of the event, as the message claims it, for finding it among dead letters.
    message_id: str | None = None
    #: Mark of the replay that sent it, or that it follows from (see `replays`); "" for what happens now.
    replay: str = ""
    #: How often it was delivered before and never answered for: its worker ended, or was killed.
    unanswered: int = 0
    #: Whether its publisher claims a history for it that only the broker may write.
    forged: bool = False

    @property
    def replayed(self) -> bool:
        """Tell whether it is about the past: whoever notifies people keeps silent about it."""
        return is_past(self.replay)

    @property
    def mode(self) -> Mode | None:
        """Return what its replay wants, None for what happens now."""
        return mode_of(self.replay)


@dataclass(frozen=True)
class Acknowledge:
    """Everything that follows from the event is safe: acknowledge it."""

    #: For the log.
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Keep the event away for a while, then deliver it to this queue again."""

    #: retry delay, in seconds.
    seconds: int
    #: Counted attempts, this one included where it counts.
    attempt: int
    #: All delays, this one included.
    delays: int
    #: Why.
    reason: str
    #: Deliveries that nobody answered for, where this attempt did not get as far as the event either.
    unanswered: int = 0


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """Put the raw event, with this, into the dead-letter queue."""

    #: What was wrong.
    error: str
    #: Traceback; empty when the handler gave a reason.
    traceback: str = ""
    #: Counted attempts.
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Send this to whoever asked, then acknowledge."""

    #: JSON.
    body: bytes
    #: Whose limit the request counts to: an account, or a project that an account shares with others.
    asker: str = ""


#: What the policy may tell a driver.
Settlement = Acknowledge | Delay | DeadLetter | Answer


class DeliveryActions(Protocol):
    """What a driver can do with a message, durably, before it acknowledges."""

    def delay(self, delivery: Delivery, delay: Delay) -> None:
        """Keep the message away for `delay.seconds`, then deliver it to the same queue."""

    def dead_letter(self, delivery: Delivery, dead_letter: DeadLetter) -> None:
        """Put the raw message into the dead-letter queue, with its error."""

    def answer(self, delivery: Delivery, answer: Answer) -> None:
        """Send the answer to `delivery.reply_to`; an asker who is gone is no error."""

    def drained(self) -> bool:
        """Tell whether no event waits in the queue."""


def settle(actions: DeliveryActions, delivery: Delivery, settlement: Settlement) -> None:
    """Do what the policy said; only after this has returned may the driver acknowledge."""
    match settlement:
        case Delay():
            actions.delay(delivery, settlement)
        case DeadLetter():
            actions.dead_letter(delivery, settlement)
        case Answer():
            actions.answer(delivery, settlement)
        case Acknowledge():
            pass
