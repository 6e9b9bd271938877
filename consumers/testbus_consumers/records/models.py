"""What the record of a run consists of, as `reading` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbus_schemas import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """One producer, as the decision counts it."""

    id: str
    #: Variant that it tested.
    variant: str
    #: Its shard; 0 when the tests are not split.
    shard: int
    #: CI attempt.
    attempt: int
    #: Events of it that had arrived.
    arrived: int
    #: Their numbers, as `1-40,42`.
    events: str
    #: Whether its results count; not those of a producer that a later attempt replaced.
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """How one test ended, by its last attempt."""

    #: Not for pytest to collect.
    __test__ = False

    variant: str
    #: Shard; 0 when the tests are not split.
    shard: int
    #: Id of its producer.
    producer: str
    node_id: str
    #: How it ended.
    outcome: Outcome
    #: Its last attempt; 0 for a test without a result.
    attempt: int
    #: Seconds of that attempt.
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a test that failed or was repeated."""

    variant: str
    #: Shard; 0 when the tests are not split.
    shard: int
    #: Id of its producer.
    producer: str
    node_id: str
    #: Attempt, from 1; 0 for a test that was collected and never heard of.
    attempt: int
    #: Whether the test ended with it.
    last: bool
    #: How it ended.
    outcome: Outcome
    seconds: float
    #: Fingerprint of its failure; empty without one.
    fingerprint: str
    #: Exception class.
    type: str
    #: First line of its message.
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One root cause in one run."""

    #: Its identity.
    fingerprint: str
    #: Exception class.
    type: str
    #: A test that failed for it.
    node_id: str
    #: What it said of that one: the beginning of a long message.
    message: str
    #: The end of that failure's text; may be empty.
    text: str
    #: Tests that failed for it, each by its last attempt; by variant, node id, shard and producer.
    tests: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One attached file, or an address where it is; None for what was not given."""

    #: Id of the producer that attached it.
    producer: str
    #: Test that it belongs to, and its attempt; None when it is about the whole run.
    node_id: str | None
    attempt: int | None
    #: What to call it.
    name: str
    #: MIME type.
    media_type: str | None
    #: Where it can be looked at.
    url: str | None
    #: Where it was on the runner's disk.
    path: str | None
    #: Digest by which `Record.attachment` gives it, and its size in bytes; None when its event held no content.
    sha256: str | None
    size: int | None
