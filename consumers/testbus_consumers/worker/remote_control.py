"""What a Celery operator's own tools may do here: `inspect`, `status`, `control`, Flower and `purge`.

Remote control and task events are off unless the configuration switches them on: each worker has a queue more for
them. What would lose an event, or work against the flow control, is refused with what to do instead.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from celery.app.amqp import AMQP
from celery.app.control import Control as CeleryControl
from celery.worker.consumer.control import Control
from celery.worker.consumer.heart import Heart
from kombu import Connection
from kombu.transport import pyamqp

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the names of exchanges and queues of remote control and task events hold; accounts get their rights by it.
NAMES: Final = "testbus.celery"

#: Commands that only look, and those that change a worker without harm to an event.
_ALLOWED: Final = frozenset(
    {"ping", "stats", "report", "conf", "registered", "active", "reserved", "scheduled", "revoked", "query_task"}
    | {"active_queues", "clock", "memsample", "memdump", "dump_conf", "dump_tasks", "dump_active", "dump_reserved"}
    | {"dump_schedule", "dump_revoked", "enable_events", "disable_events", "heartbeat", "pool_grow", "pool_shrink"}
    | {"autoscale"}
)

#: Command → what to do instead.
_INSTEAD: Final = {
    "revoke": "it would lose the event: `testbus pause CONSUMER`, or deal with it in the dead letters",
    "terminate": "it would lose the event: `testbus pause CONSUMER`, or deal with it in the dead letters",
    "revoke_by_stamped_headers": "events have no stamps",
    "rate_limit": "what waits in a worker would count as delivered: limit the target in its settings, or pause it",
    "time_limit": "start the worker with --time-limit",
    "add_consumer": "a worker has the state of its own queues only: start one for that queue",
    "cancel_consumer": "`testbus pause CONSUMER` stops every worker of a queue, and says who did it",
    "pool_restart": "end the worker and start it again; nothing is lost",
}


class PurgeRefusedError(click.ClickException):
    """`celery purge` would throw every waiting event away without a trace."""

    def __init__(self) -> None:
        """Say what to do instead."""
        super().__init__(
            "queues of events are not purged: nothing was removed. `testbus pause CONSUMER` stops a consumer, "
            "`testbus dlq purge CONSUMER` throws away what was given up, "
            "`testbus broker prune CONSUMER --force` deletes the queues of a consumer that is no longer configured"
        )


class RemoteControlOffError(click.ClickException):
    """Nobody would answer."""

    def __init__(self) -> None:
        """Say how to switch it on, and what answers without it."""
        super().__init__(
            "remote control is off: write celery: {remote_control: true} into testbus.yaml and start the workers "
            "again; without it `testbus status` shows queues, workers and targets"
        )


class _Channel(pyamqp.Channel):  # type: ignore[misc] # kombu ships no types
    def queue_purge(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise PurgeRefusedError


class _Wire(pyamqp.Connection):  # type: ignore[misc] # the same
    Channel = _Channel


class _Transport(pyamqp.Transport):  # type: ignore[misc] # the same
    Connection = _Wire


class BrokerConnection(Connection):  # type: ignore[misc] # the same
    """A connection on which no queue can be purged: by `celery purge`, `worker --purge`, nor `control.purge()`."""

    def get_transport_cls(self) -> type[pyamqp.Transport]:
        """Return the transport that refuses to purge."""
        return _Transport


class EventAmqp(AMQP):  # type: ignore[misc] # Celery ships no types
    """Celery's queues and connections, on our connections."""

    Connection = BrokerConnection


class EventControl(CeleryControl):  # type: ignore[misc] # the same
    """The client's side of remote control; says at once when nobody listens."""

    def broadcast(self, *arguments: Any, **options: Any) -> Any:
        """Send a command to the workers; RemoteControlOffError when the configuration has none of it."""
        if not self.app.conf.worker_enable_remote_control:
            raise RemoteControlOffError
        return super().broadcast(*arguments, **options)


class RemoteControl(Control):  # type: ignore[misc] # the same
    """The worker's side: commands that could lose an event are refused."""

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Give the mailbox our table of commands."""
        super().__init__(consumer, **options)
        self.box.node.handlers = handlers(self.box.node.handlers)


class Heartbeats(Heart):  # type: ignore[misc] # the same
    """Tells Flower and `celery events` that the worker is there; nothing is sent where nobody may listen."""

    def include_if(self, consumer: Any) -> bool:
        """Tell whether task events or remote control are switched on."""
        conf = consumer.app.conf
        return bool(self.enabled and (conf.worker_enable_remote_control or consumer.controller.task_events))


def handlers(celerys: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return the table of commands: those of Celery that do no harm, our shutdown, and for the rest what to do."""
    refused = {name: partial(_refused, name) for name in celerys}
    return {**refused, **{name: celerys[name] for name in _ALLOWED & celerys.keys()}, "shutdown": _shutdown}


def _refused(name: str, _state: Any, **_arguments: Any) -> dict[str, str]:
    return {"error": f"{name} is refused: {_INSTEAD.get(name, 'workers of testbus have no use for it')}"}


def _shutdown(state: Any, **_arguments: Any) -> dict[str, str]:
    """End as at SIGTERM: what was fetched is given back first."""
    state.app.ending.begin()
    return {"ok": "ends when its events under way are done"}
