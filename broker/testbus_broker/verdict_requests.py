"""Asking for a verdict, and waiting for the answer with no right but to write."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any, Final

from pika.exceptions import ChannelClosedByBroker, UnroutableError

from testbus_broker.amqp import properties
from testbus_broker.connection import account, connected, endpoint, explain
from testbus_broker.errors import QueueMissingError, RefusedError
from testbus_broker.message import Message
from testbus_broker.topology import REQUESTS_EXCHANGE, VERDICT_KEY
from testbus_schemas.identity import new_id

#: The pseudo-queue of RabbitMQ's direct reply-to.
REPLY_TO: Final = "amq.rabbitmq.reply-to"

#: Address of one asker, as the broker writes it in place of the pseudo-queue: two words in base64.
_ADDRESS: Final = re.compile(rf"{re.escape(REPLY_TO)}\.[A-Za-z0-9+/]+=*\.[A-Za-z0-9+/_-]+=*")

#: How a broker refuses a message in another account's name.
_PRECONDITION_FAILED: Final = 406


def ask(url: str, body: bytes, timeout: float, *, allow_plaintext: bool = False) -> bytes | None:
    """Send a request and return the answer's body; None when there was none within `timeout` seconds.

    Raises ConnectFailedError, ConnectionLostError (also when the broker falls silent), QueueMissingError when nobody
    could ever answer, RefusedError when the account may not ask.
    """
    deadline = time.monotonic() + timeout
    request = Message(
        body=body,
        routing_key=VERDICT_KEY,
        exchange=REQUESTS_EXCHANGE,
        message_id=(question := new_id()),
        reply_to=REPLY_TO,
        correlation_id=question,
    )
    with connected(url, allow_plaintext=allow_plaintext, timeout=timeout) as connection:
        try:
            try:
                # So that the broker vouches for whoever asks: each account has a limit of its own.
                return _answer(connection, replace(request, user_id=account(url)), deadline)
            except ChannelClosedByBroker as error:
                if error.reply_code != _PRECONDITION_FAILED:
                    raise
            # An account that is not called as in the URL (by a token, say) asks without its name.
            return _answer(connection, request, deadline)
        except UnroutableError as error:
            raise QueueMissingError(
                f"nobody answers verdict requests at {endpoint(url)}: run `testbus broker declare`"
            ) from error
        except ChannelClosedByBroker as error:
            raise RefusedError(f"{endpoint(url)}: {explain(error)}") from error


def is_reply_address(address: str) -> bool:
    """Tell whether an address is one of direct reply-to: an answer to any other would be written into a queue."""
    return _ADDRESS.fullmatch(address) is not None


def _answer(connection: Any, request: Message, deadline: float) -> bytes | None:
    channel = connection.channel()
    answers: list[bytes] = []

    def on_answer(_channel: Any, _method: Any, received: Any, body: bytes) -> None:
        if received.correlation_id == request.correlation_id:
            answers.append(body)

    channel.confirm_delivery()
    channel.basic_consume(REPLY_TO, on_answer, auto_ack=True)
    channel.basic_publish(request.exchange, request.routing_key, request.body, properties(request), mandatory=True)
    while not answers and (left := deadline - time.monotonic()) > 0:
        connection.process_data_events(time_limit=left)
    return answers[0] if answers else None
