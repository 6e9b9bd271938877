"""What runs beside the tests: the spool, the sender, the pytest plugin.

Names are loaded when they are first used, so that a test session that publishes nothing pays for nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbus_producers.context.ci import Build as Build
    from testbus_producers.context.ci import detect as detect
    from testbus_producers.context.run_context import current_run as current_run
    from testbus_producers.errors import ProducerError as ProducerError
    from testbus_producers.errors import SettingError as SettingError
    from testbus_producers.errors import SpoolBusyError as SpoolBusyError
    from testbus_producers.errors import SpoolError as SpoolError
    from testbus_producers.producer import Producer as Producer
    from testbus_producers.producer import PublishSummary as PublishSummary
    from testbus_producers.redaction.redactor import Redactor as Redactor
    from testbus_producers.sending.flush import FlushReport as FlushReport
    from testbus_producers.sending.flush import flush as flush
    from testbus_producers.settings import Settings as Settings
    from testbus_producers.settings import ShardOf as ShardOf

#: Which module of this package holds which public names.
_HOMES = {
    "context.ci": ("Build", "detect"),
    "context.run_context": ("current_run",),
    "errors": ("ProducerError", "SettingError", "SpoolBusyError", "SpoolError"),
    "producer": ("Farewell", "Producer"),
    "redaction.redactor": ("Redactor",),
    "sending.flush": ("FlushReport", "flush"),
    "settings": ("Settings", "ShardOf"),
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
