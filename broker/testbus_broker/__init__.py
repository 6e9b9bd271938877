"""How events travel: topology, confirmed publishing, the stream, dead letters, and the in-process twin.

Names are loaded when they are first used, so that a test runner which only writes to its disk does not pay for pika.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbus_broker.dead_letter import DeadLetter as DeadLetter
    from testbus_broker.declare import Declared as Declared
    from testbus_broker.declare import DeclaredState as DeclaredState
    from testbus_broker.errors import BrokerError as BrokerError
    from testbus_broker.errors import BrokerTimeoutError as BrokerTimeoutError
    from testbus_broker.errors import BrokerUrlError as BrokerUrlError
    from testbus_broker.errors import ConnectFailedError as ConnectFailedError
    from testbus_broker.errors import ConnectionLostError as ConnectionLostError
    from testbus_broker.errors import PlaintextRefusedError as PlaintextRefusedError
    from testbus_broker.errors import QueueMissingError as QueueMissingError
    from testbus_broker.errors import RefusedError as RefusedError
    from testbus_broker.errors import SegmentError as SegmentError
    from testbus_broker.errors import Unconfirmed as Unconfirmed
    from testbus_broker.event_log import EventLog as EventLog
    from testbus_broker.message import Message as Message
    from testbus_broker.publisher import ConfirmedPublisher as ConfirmedPublisher
    from testbus_broker.publisher import Publisher as Publisher
    from testbus_broker.publisher import open_publisher as open_publisher
    from testbus_broker.queues import Depth as Depth
    from testbus_broker.queues import depths as depths
    from testbus_broker.topology import Subscription as Subscription
    from testbus_broker.topology import Topology as Topology
    from testbus_broker.topology import matches as matches
    from testbus_broker.verdict_requests import ask as ask

#: Which module of this package holds which public names.
_HOMES = {
    "dead_letter": ("DeadLetter",),
    "declare": ("Declared", "DeclaredState"),
    "errors": (
        "BrokerError",
        "BrokerTimeoutError",
        "BrokerUrlError",
        "ConnectFailedError",
        "ConnectionLostError",
        "PlaintextRefusedError",
        "QueueMissingError",
        "RefusedError",
        "SegmentError",
        "Unconfirmed",
    ),
    "event_log": ("EventLog",),
    "message": ("Message",),
    "publisher": ("ConfirmedPublisher", "Publisher", "open_publisher"),
    "queues": ("Depth", "depths"),
    "verdict_requests": ("ask",),
    "topology": ("Subscription", "Topology", "matches"),
}

_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 it is a list of strings, grouped by module above


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
