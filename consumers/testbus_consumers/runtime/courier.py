"""The seam to a driver: how a message is put off, buried or answered."""

from __future__ import annotations

from typing import Protocol

from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delay, Delivery, Settlement


class Courier(Protocol):
    """What a driver can do with a message, durably, before it acknowledges."""

    def delay(self, delivery: Delivery, delay: Delay) -> None:
        """Keep the message away for `delay.seconds`, then deliver it to the same queue."""

    def bury(self, delivery: Delivery, letter: DeadLetter) -> None:
        """Put the raw message into the dead-letter queue, with its error."""

    def answer(self, delivery: Delivery, answer: Answer) -> None:
        """Send the answer to `delivery.reply_to`; an asker who is gone is no error."""

    def drained(self) -> bool:
        """Tell whether no event waits in the queue."""


def settle(courier: Courier, delivery: Delivery, settlement: Settlement) -> None:
    """Do what the policy said; only after this has returned may the driver acknowledge."""
    match settlement:
        case Delay():
            courier.delay(delivery, settlement)
        case DeadLetter():
            courier.bury(delivery, settlement)
        case Answer():
            courier.answer(delivery, settlement)
        case Acknowledge():
            pass
