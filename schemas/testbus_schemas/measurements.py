"""What a producer knows of the place where its tests ran, and what was measured there beside their outcomes."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.model import Model, OpenEnum
from testbus_schemas.wire import MAX_FLAGS, MAX_METRIC_NAME, MAX_METRIC_UNIT, MAX_METRICS, MAX_PACKAGES


class Better(OpenEnum):
    """Which of two values is the better one."""

    LOWER = "lower"
    HIGHER = "higher"
    #: A value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"


class Cpu(Model):
    """The processors that a producer may use."""

    #: What the system calls them.
    model: str = Field(default="", max_length=128)
    #: How many.
    count: int | None = Field(default=None, ge=1)


class EnvironmentRecorded(EventData):
    """Where a producer ran."""

    #: Implementation and version of Python: `CPython 3.12.4`; empty where no Python ran.
    python: str = Field(default="", max_length=64)
    #: Operating system, its version, and the machine's architecture.
    platform: str = Field(default="", max_length=256)
    #: Installed packages: name as the index has it (`a-b`) → version.
    packages: dict[str, str] = Field(default_factory=dict, max_length=MAX_PACKAGES)
    #: Feature flags that TESTBUS_FLAGS names → value, redacted.
    flags: dict[str, str] = Field(default_factory=dict, max_length=MAX_FLAGS)
    #: Labels of the run's context: hardware, requirements, whatever somebody wants to group by.
    labels: dict[str, str] = Field(default_factory=dict, max_length=MAX_FLAGS)
    #: Processors; None where the system does not say.
    cpu: Cpu | None = None
    #: Bytes of memory that the producer may use; None where the system does not say.
    memory: int | None = Field(default=None, ge=0)


class Metric(Model):
    """One measured value."""

    #: What was measured: `queries`, `database size`, …
    name: str = Field(min_length=1, max_length=MAX_METRIC_NAME)
    #: Test that it is about; None when it is about the whole producer.
    node_id: str | None = Field(default=None, min_length=1, max_length=4096)
    value: float
    #: As people write it: `MB`, `ms`; empty for a plain number.
    unit: str = Field(default="", max_length=MAX_METRIC_UNIT)
    #: Which of two values is the better one.
    better: Better = Better.LOWER


class MetricsRecorded(EventData):
    """Values that tests, or whoever published them, measured: of one name and test the last one holds."""

    metrics: tuple[Metric, ...] = Field(max_length=MAX_METRICS)
    #: Values that were beyond the bound, and are not here.
    left_out: int = Field(default=0, ge=0)


class Benchmark(Model):
    """One benchmark."""

    name: str = Field(min_length=1, max_length=MAX_METRIC_NAME)
    #: Test that it is; None for one that is no test.
    node_id: str | None = Field(default=None, min_length=1, max_length=4096)
    #: Mean of its rounds, in `unit`.
    mean: float
    #: Standard deviation of its rounds; None where it was not reported.
    stddev: float | None = Field(default=None, ge=0)
    #: How often it was measured; None where it was not reported.
    rounds: int | None = Field(default=None, ge=1)
    #: As people write it: `s`, `ns/op`, `ops/sec`.
    unit: str = Field(default="", max_length=MAX_METRIC_UNIT)
    #: Which of two means is the better one.
    better: Better = Better.LOWER


class BenchmarksRecorded(EventData):
    """Benchmarks of one producer; large numbers come in several events."""

    #: What measured: `pytest-benchmark 5.1.0`, …
    tool: str = Field(default="", max_length=128)
    benchmarks: tuple[Benchmark, ...] = Field(max_length=MAX_METRICS)
