"""From a raw message to a Celery task, without a second hop and without losing what Celery would not understand.

Stock Celery acknowledges, and so loses, what it cannot decode, and a header of ours could steer it (`eta`, `expires`,
`task`). So every message, whatever it holds, is given headers that name our one task; its own travel beside them. The
body is never parsed before it reaches the policy, which knows what to do with a bad one.

`Consumer.create_task_handler` is not documented API: tests/consumers/worker fails when a Celery release changes it.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import compression
from kombu.serialization import register

from testbus_broker import message as headers
from testbus_broker.amqp import DEATHS
from testbus_broker.topology import REQUESTS, REQUESTS_EXCHANGE, Subscription
from testbus_consumers.runtime.delivery import Delivery
from testbus_schemas.catalog import EVENT_TYPES
from testbus_schemas.errors import MalformedEventError
from testbus_schemas.wire import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu import Message

#: Name of the one task.
TASK: Final = "testbus.deliver"

#: Counters in headers beyond this are somebody's nonsense.
_MAX_COUNT: Final = 1_000_000

#: Characters that the id of a replay has at most.
_REPLAY_CHARS: Final = 64

#: Header in which the broker counts the deliveries of a redelivered message that nobody answered for.
_DELIVERIES: Final = "x-delivery-count"

_REQUESTS_QUEUE: Final = Subscription(name=REQUESTS).queue

#: What stands for an empty body on its way through Celery.
_NOTHING: Final = b" "

#: Key in a task's request under which the original message's properties travel.
ORIGINAL: Final = "testbus"


def register_content_type() -> None:
    """Teach kombu to hand a body over as it is: raw bytes in, one argument out."""
    register("cloudevents", None, _as_argument, content_type=CONTENT_TYPE, content_encoding="utf-8")
    # kombu would inflate a body by a header of the sender's choice, without bound, before anybody looked at it.
    for name in compression.encoders():
        compression.register(_refuse, _refuse, name)


def _refuse(_body: bytes) -> bytes:
    raise MalformedEventError("kombu's compression header is not understood: gzip, as content encoding, is")


def _as_argument(body: bytes | str) -> tuple[list[bytes], dict[str, Any], dict[str, Any]]:
    # kombu gives text for bodies that it believes to be text; surrogateescape keeps every byte.
    return [body.encode("utf-8", "surrogateescape") if isinstance(body, str) else bytes(body)], {}, {}


class EventConsumer(Consumer):  # type: ignore[misc] # Celery ships no types
    """Celery's consumer, with every message adapted before it is dispatched."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc] # the same
        """Only what consuming needs, and what Celery's own tools need where the configuration wants them.

        Without gossip, mingle and native delayed delivery, which between them would declare some thirty queues and talk
        to every other worker; retries go through our own delays.
        """

        default_steps: ClassVar = [
            "celery.worker.consumer.connection:Connection",
            "celery.worker.consumer.events:Events",
            "testbus_consumers.worker.remote_control:Heartbeats",
            "celery.worker.consumer.tasks:Tasks",
            "testbus_consumers.worker.remote_control:RemoteControl",
            "celery.worker.consumer.consumer:Evloop",
            "testbus_consumers.worker.flow_control:FlowControl",
        ]

    #: What decides how much is fetched, while connected.
    flow_control: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Leave out mingle, which the step that consumes names as its requirement: a worker may declare nothing."""
        super().__init__(*args, **{**kwargs, "without_mingle": True})

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], Any]:
        """Return Celery's handler behind our adaptation."""
        dispatch = super().create_task_handler(*args, **kwargs)
        queue_of_tag: dict[str, str] = {}

        def on_message(message: Message) -> Any:
            # kombu has no public way; a tag that was cancelled a moment ago is remembered.
            queue_of_tag.update({tag: name for name, tag in self.task_consumer._active_tags.items()})  # noqa: SLF001
            as_task_message(message, queue_of_tag[message.delivery_info["consumer_tag"]])
            dispatched = dispatch(message)
            if self.flow_control is not None:
                # Not only now and then: each event that comes for a target just found down would make room for another.
                # And not before: a worker that is about to end waits for what it knows of.
                self.flow_control.look(self)
            return dispatched

        return on_message

    def on_decode_error(self, message: Message, exc: BaseException) -> None:  # noqa: ARG002 Celery's signature
        """Dead-letter what kombu itself chokes on; Celery would acknowledge it."""
        message.reject()


class EventRequest(Request):  # type: ignore[misc] # the same
    """Celery's view of an event that was fetched."""

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 Celery's signature
        """Return what `celery inspect` shows of it: its id and its queue, and not what is in it."""
        original = self.request_dict[ORIGINAL]
        hidden = {"args": [], "kwargs": {}, "event_id": original["message_id"], "queue": original["queue"]}
        return {**super().info(safe=True), **hidden}


def as_task_message(message: Message, queue: str) -> None:
    """Make a raw message a call of our task; what it said of itself is kept under `ORIGINAL`."""
    # Our own headers are believed only on what came straight to this queue: whoever may publish to the exchanges could
    # otherwise name another project's routing key in them than the one that the broker checked its rights on.
    trusted = message.delivery_info.get("exchange") == ""
    claimed = message.headers if isinstance(message.headers, dict) else {}
    own = claimed if trusted else {}
    properties = message.properties or {}
    original = {
        "queue": queue,
        "content_encoding": message.content_encoding,
        "routing_key": _text(own.get(headers.ROUTING_KEY)) or message.delivery_info.get("routing_key"),
        "attempt": _number(own.get(headers.ATTEMPT)),
        "delays": _number(own.get(headers.DELAYS)),
        "reply_to": _text(properties.get("reply_to")),
        "correlation_id": _text(properties.get("correlation_id")),
        "message_id": _text(properties.get("message_id")),
        # The broker lets nobody publish under another account's name.
        "account": _text(properties.get("user_id")) or "",
        "exchange": message.delivery_info.get("exchange"),
        "replay": _replay(message, trusted=trusted),
        "empty": not message.body,
        "unanswered": _number(own.get(headers.UNANSWERED)) + _redeliveries(message, claimed),
        "forged": not trusted and DEATHS in claimed,
    }
    message.headers = {"task": TASK, "id": str(uuid.uuid4()), "argsrepr": "", "kwargsrepr": "", ORIGINAL: original}
    # kombu hands an empty body to no serializer, and Celery's process ends over what it gets instead.
    message.body = message.body or _NOTHING
    message.content_type = CONTENT_TYPE
    message.content_encoding = "utf-8"
    message._decoded_cache = None  # noqa: SLF001 decoded with our serializer from here on


def delivery_of(body: bytes, original: Mapping[str, Any]) -> Delivery:
    """Return what the policy is given, from the task's argument and the kept properties."""
    encoding = original["content_encoding"]
    # Nothing but requests belongs in their queue, which has neither delays nor dead letters.
    request = original["exchange"] == REQUESTS_EXCHANGE or original["queue"] == _REQUESTS_QUEUE
    return Delivery(
        body=b"" if original["empty"] else body,
        content_encoding=None if encoding in {None, "", "utf-8", "binary"} else encoding,
        # A request's key names no project.
        routing_key=None if request else original["routing_key"],
        attempt=original["attempt"],
        delays=original["delays"],
        reply_to=original["reply_to"],
        correlation_id=original["correlation_id"],
        message_id=original["message_id"],
        account=original["account"],
        replay=original["replay"],
        unanswered=original["unanswered"],
        forged=original["forged"],
    )


def _replay(message: Message, *, trusted: bool) -> str:
    """Return the id of the replay that sent a message, or that it follows from; "" for what happens now.

    What consumers derive carries the mark through the exchange; a runner, which may not publish that, cannot put its
    own project's news among the past.
    """
    name = ".".join(str(message.delivery_info.get("routing_key") or "").split(".")[:2])
    derived = name in EVENT_TYPES and EVENT_TYPES[name].sender == "consumers"
    own = message.headers if (trusted or derived) and isinstance(message.headers, dict) else {}
    return (_text(own.get(headers.REPLAYED)) or "")[:_REPLAY_CHARS]


def _redeliveries(message: Message, claimed: Mapping[str, Any]) -> int:
    """Return how often the broker delivered a message before, which it says only of one that it delivers again."""
    return _number(claimed.get(_DELIVERIES)) if message.delivery_info.get("redelivered") else 0


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= _MAX_COUNT else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
