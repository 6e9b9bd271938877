"""The life of a run: what producers say of themselves, and what the consumer `runs` decides of all of them."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.model import Instant, Model, OpenEnum

#: Exit statuses of a test runner that left nothing out: unknown, success, and pytest's "no tests were collected".
_GOOD_EXITS: Final = frozenset({None, 0, 5})


class ProducerStatus(OpenEnum):
    """How a producer ended."""

    #: It ran to its end, whatever its tests said.
    FINISHED = "finished"
    #: A person or the CI stopped it.
    INTERRUPTED = "interrupted"
    #: Its process was gone without a last word; written in its place by whoever sent its spool.
    CRASHED = "crashed"
    #: It could not begin (usage error, internal error).
    FAILED_TO_START = "failed_to_start"
    #: A value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"


class ProducerStarted(EventData):
    """A producer began."""

    #: Test runner or reader: pytest, junit, …
    tool: str
    tool_version: str = ""
    #: Name of the machine.
    host: str = ""
    #: Seconds between its heartbeats; None when it sends none.
    heartbeat_s: float | None = Field(default=None, gt=0)


class ProducerHeartbeat(EventData):
    """A producer lives; not counted."""


class ProducerFinished(EventData):
    """A producer ended, and this is how much it sent."""

    #: Number of this producer's counted events, this one included.
    events: int = Field(ge=1)
    #: How it ended.
    status: ProducerStatus
    #: Exit status of its process; None when nobody saw it.
    exit_status: int | None = None
    #: Tests collected; None when it does not collect.
    collected: int | None = Field(default=None, ge=0)
    #: Results recorded.
    reported: int = Field(default=0, ge=0)
    #: Results that did not fit into the bounded spool: lost, and said so.
    dropped: int = Field(default=0, ge=0)
    #: Why it did not end well, for people; None when there is nothing to say.
    detail: str | None = Field(default=None, max_length=2000)
    #: Failures of tests and of collecting in the test runner's own count; None when it has none.
    failures: int | None = Field(default=None, ge=0)
    #: Tests whose last result is failed, timeout or error; None when they were not counted.
    failed: int | None = Field(default=None, ge=0)
    #: Tests that were collected and have no result; None when they were not counted.
    left_out: int | None = Field(default=None, ge=0)
    #: Why the test runner stopped before all tests had run, in its own words; None when it did not say so.
    stopped: str | None = Field(default=None, max_length=2000)
    #: Faults of the producer itself, each of which may have cost a result.
    faults: int = Field(default=0, ge=0)

    @property
    def contradiction(self) -> str | None:
        """Return what makes the producer's results look better than its test runner says; None when nothing does.

        An exit status alone does not: runners also fail for what is no test's fault, as coverage that is too low.
        """
        if self.faults:
            return f"testbus itself failed {self.faults} times: results may be missing"
        if self.failed:
            return None
        if self.failures:
            return f"its test runner counts {self.failures} failures, and no result says so"
        if self.left_out and self.failed is not None and (self.stopped or self.exit_status not in _GOOD_EXITS):
            why = self.stopped or f"exit status {self.exit_status}"
            return f"it stopped before {self.left_out} of {self.collected} tests had run: {why}"
        return None

    @property
    def left_out_on_purpose(self) -> bool:
        """Tell whether a test without a result was left out by its runner (-x, Ctrl-C), and is not lost."""
        return not self.faults and self.status in {ProducerStatus.FINISHED, ProducerStatus.INTERRUPTED}


class ShardsAnnounced(EventData):
    """Somebody knows how many shards there are that the shards themselves did not know; not counted."""

    #: Variant whose shards they are; None: those of every variant of the run.
    variant: str | None = Field(default=None, min_length=1, max_length=128)
    #: How many shards there are; of several announcements the highest holds.
    total: int = Field(ge=1, le=10_000)


class RecordRef(Model):
    """What `runs` keeps of a decided run, for consumers that read it there."""

    #: Version of its form.
    format: int = Field(ge=1)
    #: Digest of what it says, as 64 hexadecimal digits: the same in whatever order the run's events came.
    digest: str = Field(min_length=64, max_length=64)


class _Closing(EventData):
    """What a decision about a run's completeness says."""

    #: Number of this decision about the run, from 1; the highest one holds.
    revision: int = Field(ge=1)
    #: What was received: producer id → event type (short name) → count.
    expected: dict[str, dict[str, int]]
    #: Producers of lower CI attempts: their results no longer count.
    superseded: tuple[str, ...] = ()
    #: Producers that a person or the CI stopped, superseded ones too: what failed there may have failed for that.
    stopped: tuple[str, ...] = ()
    #: When the last counted producer ended or was last heard of.
    finished_at: Instant
    #: Tests of the producers that count, by how they ended; those that were collected and never heard of, too.
    counts: dict[str, int] = Field(default_factory=dict)
    #: How many tests that are.
    total: int = Field(default=0, ge=0)
    #: Seconds that the last attempts of these tests took, added up.
    tests_s: float = Field(default=0.0, ge=0)
    #: What is kept of the run; None where nothing is.
    record: RecordRef | None = None


class RunCompleted(_Closing):
    """Every expected producer finished, and each of its events has arrived."""


class RunInterrupted(_Closing):
    """The run ended, and something is missing that will not come any more."""

    #: What is missing, for people.
    reasons: tuple[str, ...]
    #: Whether it is missing because a person or the CI cancelled the run, and nothing had gone wrong before.
    cancelled: bool = False


class RunReopened(EventData):
    """Something came after the run had been decided; a new decision follows."""

    #: Number of the decision that no longer holds.
    revision: int = Field(ge=1)
    #: What came, for people.
    reason: str
