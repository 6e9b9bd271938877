"""testbus: the small public API.

`step`, `attach` and `metric` say more of a test that runs: its parts, the files it leaves, and what it measured.
`publish` (or a `Publisher`, for results that come one by one) says what tests did, `wait_for_verdict` returns what the
gates decided of it. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbus.api import Publisher as Publisher
    from testbus.api import Sent as Sent
    from testbus.api import VerdictTimeoutError as VerdictTimeoutError
    from testbus.api import publish as publish
    from testbus.api import wait_for_verdict as wait_for_verdict
    from testbus_producers.steps import attach as attach
    from testbus_producers.steps import metric as metric
    from testbus_producers.steps import step as step
    from testbus_schemas import Failure as Failure
    from testbus_schemas import GateEvaluated as Evaluation  # noqa: F401 re-exported
    from testbus_schemas import Outcome as Outcome
    from testbus_schemas import Result as Result
    from testbus_schemas import RunContext as RunContext
    from testbus_schemas import Shard as Shard
    from testbus_schemas import Verdict as Verdict

#: Public name → where it is, and what it is called there.
_HOMES = {
    "Publisher": ("testbus.api", "Publisher"),
    "Sent": ("testbus.api", "Sent"),
    "VerdictTimeoutError": ("testbus.api", "VerdictTimeoutError"),
    "publish": ("testbus.api", "publish"),
    "wait_for_verdict": ("testbus.api", "wait_for_verdict"),
    "attach": ("testbus_producers.steps", "attach"),
    "metric": ("testbus_producers.steps", "metric"),
    "step": ("testbus_producers.steps", "step"),
    "Evaluation": ("testbus_schemas", "GateEvaluated"),
    "Failure": ("testbus_schemas", "Failure"),
    "Outcome": ("testbus_schemas", "Outcome"),
    "Result": ("testbus_schemas", "Result"),
    "RunContext": ("testbus_schemas", "RunContext"),
    "Shard": ("testbus_schemas", "Shard"),
    "Verdict": ("testbus_schemas", "Verdict"),
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 it is a list of strings, each with its home above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
