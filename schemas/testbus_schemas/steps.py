"""What a test did on its way, and how it or a step of it can end: outcomes, log records, steps in steps."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from testbus_schemas.model import Instant, Model, NullIsEmpty, OpenEnum
from testbus_schemas.wire import MAX_LOG_BYTES, MAX_LOGS, MAX_STEP_DEPTH, MAX_STEPS

#: Characters of the longest name of a step.
_MAX_NAME: Final = 1024


class Outcome(OpenEnum):
    """How an attempt of a test, or a step of it, ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    TIMEOUT = "timeout"
    #: Collected, and never heard of.
    NOT_REPORTED = "not_reported"
    #: Collected, and left out on purpose (-x, Ctrl-C).
    NOT_RUN = "not_run"
    #: A value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"

    @property
    def bad(self) -> bool:
        """Tell whether a test that ends so needs a person."""
        return self in _BAD


#: Made once: it is asked for each attempt.
_BAD = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.TIMEOUT, Outcome.NOT_REPORTED, Outcome.UNKNOWN})


class LogLevel(OpenEnum):
    """How serious a log record is."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"
    #: A level that a newer producer knows and this code does not.
    UNKNOWN = "unknown"


class LogRecord(Model):
    """What was logged."""

    #: When.
    time: Instant
    #: How serious it is.
    level: LogLevel = LogLevel.INFO
    #: The text, with the traceback of an exception that was logged; redacted, at most `MAX_LOG_BYTES`.
    message: str = Field(max_length=2 * MAX_LOG_BYTES)
    #: Name of the logger; empty when it has none.
    logger: str = ""


#: Log records in the order of their times; a last one says how many there was no room for.
LogRecords = Annotated[tuple[LogRecord, ...], Field(max_length=MAX_LOGS + 1), NullIsEmpty]


class Step(Model):
    """A named part of a test."""

    #: What it does.
    name: str = Field(min_length=1, max_length=_MAX_NAME)
    #: When it began; None when that is not known.
    started_at: Instant | None = None
    #: How long it took, in seconds.
    duration_s: float = Field(default=0.0, ge=0)
    #: How it ended.
    outcome: Outcome = Outcome.PASSED
    #: What was logged in it, but not in one of its own steps.
    logs: LogRecords = ()
    #: Its own steps, in the order of their beginnings.
    steps: Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS), NullIsEmpty] = ()


def _bounded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    level, number, depth = list(steps), 0, 0
    while level:
        number += len(level)
        depth += 1
        if number > MAX_STEPS or depth > MAX_STEP_DEPTH:
            raise ValueError(f"at most {MAX_STEPS} steps, nested at most {MAX_STEP_DEPTH} deep")
        level = [below for step in level for below in step.steps]
    return steps


#: The steps of a result: at most `MAX_STEPS` in all, nested at most `MAX_STEP_DEPTH` deep.
Steps = Annotated[tuple[Step, ...], Field(max_length=MAX_STEPS), NullIsEmpty, AfterValidator(_bounded)]
