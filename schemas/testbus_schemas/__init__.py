"""The events of testbus: what they are, how they are written and read.

Names are loaded when they are first used, so that a test runner that only needs `testbus_schemas.wire` does not pay for
pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbus_schemas.artifacts import ArtifactRecorded as ArtifactRecorded
    from testbus_schemas.catalog import EVENT_TYPES as EVENT_TYPES
    from testbus_schemas.catalog import EventType as EventType
    from testbus_schemas.change import ChangedFile as ChangedFile
    from testbus_schemas.change import ChangeKind as ChangeKind
    from testbus_schemas.change import ChangeRecorded as ChangeRecorded
    from testbus_schemas.change import Commit as Commit
    from testbus_schemas.codec import Encoded as Encoded
    from testbus_schemas.codec import decode as decode
    from testbus_schemas.codec import encode as encode
    from testbus_schemas.context import RunContext as RunContext
    from testbus_schemas.context import RunReference as RunReference
    from testbus_schemas.context import Shard as Shard
    from testbus_schemas.coverage import CoverageRecorded as CoverageRecorded
    from testbus_schemas.coverage import FileCoverage as FileCoverage
    from testbus_schemas.decisions import FailedCause as FailedCause
    from testbus_schemas.decisions import FailedTest as FailedTest
    from testbus_schemas.decisions import GateEvaluated as GateEvaluated
    from testbus_schemas.decisions import RuleEvaluated as RuleEvaluated
    from testbus_schemas.decisions import Verdict as Verdict
    from testbus_schemas.decisions import VerdictRequested as VerdictRequested
    from testbus_schemas.envelope import Event as Event
    from testbus_schemas.envelope import decided as decided
    from testbus_schemas.envelope import derived as derived
    from testbus_schemas.envelope import produced as produced
    from testbus_schemas.errors import EventTooLargeError as EventTooLargeError
    from testbus_schemas.errors import MalformedEventError as MalformedEventError
    from testbus_schemas.errors import SchemaError as SchemaError
    from testbus_schemas.errors import UnknownEventTypeError as UnknownEventTypeError
    from testbus_schemas.errors import UnsupportedVersionError as UnsupportedVersionError
    from testbus_schemas.events import EventData as EventData
    from testbus_schemas.events import Origin as Origin
    from testbus_schemas.fingerprints import FINGERPRINT_VERSION as FINGERPRINT_VERSION
    from testbus_schemas.fingerprints import fingerprint as fingerprint
    from testbus_schemas.fingerprints import root as root
    from testbus_schemas.issues import IssueAction as IssueAction
    from testbus_schemas.issues import IssueLinked as IssueLinked
    from testbus_schemas.issues import LaunchLinked as LaunchLinked
    from testbus_schemas.measurements import Benchmark as Benchmark
    from testbus_schemas.measurements import BenchmarksRecorded as BenchmarksRecorded
    from testbus_schemas.measurements import Better as Better
    from testbus_schemas.measurements import Cpu as Cpu
    from testbus_schemas.measurements import EnvironmentRecorded as EnvironmentRecorded
    from testbus_schemas.measurements import Metric as Metric
    from testbus_schemas.measurements import MetricsRecorded as MetricsRecorded
    from testbus_schemas.overrides import Override as Override
    from testbus_schemas.overrides import OverrideKind as OverrideKind
    from testbus_schemas.overrides import OverrideRecorded as OverrideRecorded
    from testbus_schemas.overrides import OverrideRequested as OverrideRequested
    from testbus_schemas.overrides import OverrideScope as OverrideScope
    from testbus_schemas.regressions import RegressionDetected as RegressionDetected
    from testbus_schemas.regressions import RegressionKind as RegressionKind
    from testbus_schemas.regressions import RegressionRecovered as RegressionRecovered
    from testbus_schemas.results import Failure as Failure
    from testbus_schemas.results import Result as Result
    from testbus_schemas.results import ResultKey as ResultKey
    from testbus_schemas.results import ResultsRecorded as ResultsRecorded
    from testbus_schemas.results import TestsCollected as TestsCollected
    from testbus_schemas.runs import ProducerFinished as ProducerFinished
    from testbus_schemas.runs import ProducerHeartbeat as ProducerHeartbeat
    from testbus_schemas.runs import ProducerStarted as ProducerStarted
    from testbus_schemas.runs import ProducerStatus as ProducerStatus
    from testbus_schemas.runs import RecordRef as RecordRef
    from testbus_schemas.runs import RunCompleted as RunCompleted
    from testbus_schemas.runs import RunInterrupted as RunInterrupted
    from testbus_schemas.runs import RunReopened as RunReopened
    from testbus_schemas.runs import ShardsAnnounced as ShardsAnnounced
    from testbus_schemas.steps import LogLevel as LogLevel
    from testbus_schemas.steps import LogRecord as LogRecord
    from testbus_schemas.steps import Outcome as Outcome
    from testbus_schemas.steps import Step as Step

#: Which module of this package holds which public names.
_HOMES = {
    "artifacts": ("ArtifactRecorded",),
    "catalog": ("EVENT_TYPES", "EventType"),
    "change": ("ChangedFile", "ChangeKind", "ChangeRecorded", "Commit"),
    "codec": ("Encoded", "decode", "encode"),
    "context": ("RunContext", "RunReference", "Shard"),
    "coverage": ("CoverageRecorded", "FileCoverage"),
    "decisions": ("FailedCause", "FailedTest", "GateEvaluated", "RuleEvaluated", "Verdict", "VerdictRequested"),
    "envelope": ("Event", "decided", "derived", "produced"),
    "errors": (
        "EventTooLargeError",
        "MalformedEventError",
        "SchemaError",
        "UnknownEventTypeError",
        "UnsupportedVersionError",
    ),
    "events": ("EventData", "Origin"),
    "fingerprints": ("FINGERPRINT_VERSION", "fingerprint", "root"),
    "issues": ("IssueAction", "IssueLinked", "LaunchLinked"),
    "measurements": (
        "Benchmark",
        "BenchmarksRecorded",
        "Better",
        "Cpu",
        "EnvironmentRecorded",
        "Metric",
        "MetricsRecorded",
    ),
    "overrides": ("Override", "OverrideKind", "OverrideRecorded", "OverrideRequested", "OverrideScope"),
    "regressions": ("RegressionDetected", "RegressionKind", "RegressionRecovered"),
    "results": ("Failure", "Result", "ResultKey", "ResultsRecorded", "TestsCollected"),
    "runs": (
        "ProducerFinished",
        "ProducerHeartbeat",
        "ProducerStarted",
        "ProducerStatus",
        "RecordRef",
        "RunCompleted",
        "RunInterrupted",
        "RunReopened",
        "ShardsAnnounced",
    ),
    "steps": ("LogLevel", "LogRecord", "Step", "Outcome"),
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
