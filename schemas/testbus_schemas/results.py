"""Results: what happened to each attempt of each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import Field, ValidationError

from testbus_schemas.events import EventData
from testbus_schemas.model import Instant, Model, NullIsEmpty, OpenEnum
from testbus_schemas.steps import LogRecords, Outcome, Steps
from testbus_schemas.wire import MAX_DESCRIPTION, MAX_RESULTS_PER_EVENT, MAX_SUITES, MAX_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_schemas.context import RunContext


class Frame(Model):
    """One line of a traceback."""

    #: File, relative to the project where it lies inside it, with forward slashes.
    path: str
    #: Line, from 1.
    line: int | None = None
    #: Function or method.
    function: str = ""


class Relation(OpenEnum):
    """How an exception of a chain is related to the one that it led to."""

    #: That one was raised `from` it, or wraps it.
    CAUSE = "cause"
    #: That one was raised while it was handled.
    CONTEXT = "context"
    #: That one is a group of which it is a member.
    MEMBER = "member"
    #: Nobody said, or a value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"


class Cause(Model):
    """One exception of a chain."""

    #: Qualified class name.
    type: str
    message: str = ""
    #: How it is related to the next one of the chain that is no member of a group, or to the failure.
    relation: Relation = Relation.UNKNOWN


class Failure(Model):
    """Why a test, or its setup or teardown, did not pass."""

    #: Where it happened: setup, call, teardown or collect.
    phase: str = "call"
    #: Qualified class name of the exception.
    type: str = ""
    #: The exception's message, redacted.
    message: str = ""
    #: Exceptions that led to it, the first cause first.
    chain: Annotated[tuple[Cause, ...], NullIsEmpty] = ()
    #: Traceback, outermost frame first.
    frames: Annotated[tuple[Frame, ...], NullIsEmpty] = ()
    #: The report's text as a person reads it, redacted; at most `MAX_TEXT_BYTES`.
    text: str = Field(default="", max_length=2 * MAX_TEXT_BYTES)


class Marker(Model):
    """A marker or tag on a test."""

    name: str
    #: Its positional arguments, as text.
    args: Annotated[tuple[str, ...], NullIsEmpty] = ()
    #: Its keyword arguments, as text; of a list its members, one on each line.
    keywords: dict[str, str] = Field(default_factory=dict)


class SuiteDescription(Model):
    """What the author says of a module or a class of tests."""

    #: Its node id, as `tests/test_a.py` or `tests/test_a.py::TestA`: what its tests' node ids begin with.
    node_id: str = Field(min_length=1, max_length=4096)
    #: Its docstring, at most `MAX_DESCRIPTION` characters.
    description: str = Field(max_length=MAX_DESCRIPTION)


class Output(Model):
    """What a test printed."""

    #: stdout, stderr or log.
    name: str
    #: The text, redacted.
    text: str


class ResultKey(NamedTuple):
    """What tells one result from every other."""

    #: Run id.
    run: str
    variant: str
    #: Shard index; 0 when the tests are not split.
    shard: int
    #: The CI's attempt at the shard, from 1.
    ci_attempt: int
    #: Node id of the test.
    node_id: str
    #: Attempt within the process, from 1.
    attempt: int


class Result(Model):
    """The outcome of one attempt of one test."""

    #: The runner's own name of the test, as `tests/test_a.py::TestA::test_p[0]`.
    node_id: str = Field(min_length=1, max_length=4096)
    #: Attempt of this test within the process, from 1.
    attempt: int = Field(default=1, ge=1)
    #: How it ended.
    outcome: Outcome
    #: When its setup began.
    started_at: Instant | None = None
    #: Monotonic seconds from setup to the end of teardown.
    duration_s: float = Field(default=0.0, ge=0)
    #: Seconds of each phase: setup, call, teardown.
    phases: dict[str, float] = Field(default_factory=dict)
    #: Why it did not pass, also where that was expected; several when teardown failed too.
    failures: Annotated[tuple[Failure, ...], NullIsEmpty] = ()
    #: Why it was skipped or expected to fail.
    reason: str | None = None
    #: Source file, relative, with forward slashes.
    file: str | None = None
    #: Line in the source file, from 1.
    line: int | None = None
    #: What its author says of it: the docstring, at most `MAX_DESCRIPTION` characters.
    description: str | None = Field(default=None, max_length=MAX_DESCRIPTION)
    #: Where the code is, as ReportPortal writes it: `pkg/test_a.py:TestA.test_p`.
    code_ref: str | None = None
    #: Parameters, each value as text.
    parameters: dict[str, str] = Field(default_factory=dict)
    #: The number that the runner gives each parameter's value, from 0; ReportPortal's `use_index` goes by it.
    parameter_indices: dict[str, int] = Field(default_factory=dict)
    #: Markers and tags.
    markers: Annotated[tuple[Marker, ...], NullIsEmpty] = ()
    #: The module and the classes that hold it, as far as they have a docstring that no earlier test of the process
    #: carried.
    suites: Annotated[tuple[SuiteDescription, ...], Field(max_length=MAX_SUITES), NullIsEmpty] = ()
    #: xdist worker, as `gw0`.
    worker: str | None = None
    #: Highest resident memory of its process while it ran, in KiB, as far as it was looked at; None where it was not.
    memory_kb: int | None = Field(default=None, ge=0)
    #: Captured output.
    output: Annotated[tuple[Output, ...], NullIsEmpty] = ()
    #: What was logged outside of its steps; with it, `output` has no text of the log.
    logs: LogRecords = ()
    #: Its steps, in the order of their beginnings.
    steps: Steps = ()

    def key(self, context: RunContext) -> ResultKey:
        """Return what tells this result from every other."""
        return ResultKey(
            run=context.run,
            variant=context.variant,
            shard=context.shard_index,
            ci_attempt=context.attempt,
            node_id=self.node_id,
            attempt=self.attempt,
        )


#: Fields without which nobody knows which result it is, or how it ended.
_ESSENTIAL: Final = frozenset({"node_id", "attempt", "outcome"})

#: Type of the failure of a result that could not be read.
UNREADABLE: Final = "UnreadableResult"

#: Characters of a node id.
_MAX_NODE_ID: Final = 4096


def readable(results: Iterable[Any]) -> list[Any]:
    """Return results, as JSON data, each of which can be read.

    Of one that cannot be, the details that are wrong are left out. Where its name or its outcome is, it becomes an
    error: whatever it was, nobody may take it for passed.
    """
    return [_readable(number, result) for number, result in enumerate(results)]


def _readable(number: int, result: Any) -> Any:
    try:
        Result.model_validate(result)
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) if fault["loc"] else "" for fault in error.errors(include_url=False)}
        places = ", ".join(sorted(wrong - {""})) or "no object"
    else:
        return result
    if isinstance(result, dict) and not wrong & _ESSENTIAL:
        return {name: value for name, value in result.items() if name not in wrong}
    node_id = result.get("node_id") if isinstance(result, dict) else None
    attempt = result.get("attempt") if isinstance(result, dict) else None
    name = node_id[:_MAX_NODE_ID] if isinstance(node_id, str) else ""
    return {
        "node_id": name or f"unreadable result {number + 1}",
        "attempt": attempt if type(attempt) is int and attempt > 0 else 1,
        "outcome": Outcome.ERROR.value,
        "failures": [{"type": UNREADABLE, "message": f"this result cannot be read: {places}"}],
    }


class TestsCollected(EventData):
    """The tests that a producer is going to run; large collections come in chunks."""

    #: Node ids of this chunk.
    node_ids: tuple[str, ...]
    #: Number of this chunk, from 1.
    chunk: int = Field(default=1, ge=1)
    #: How many chunks there are; None when that was not known.
    chunks: int | None = Field(default=None, ge=1)


class ResultsRecorded(EventData):
    """Results, in the order in which they ended."""

    #: At most `MAX_RESULTS_PER_EVENT` results.
    results: tuple[Result, ...] = Field(max_length=MAX_RESULTS_PER_EVENT)


def as_json(result: Result) -> dict[str, Any]:
    """Return the result as plain JSON data, without what it leaves at its default."""
    return result.model_dump(mode="json", exclude_defaults=True)
