"""Overrides: what people decide against the rules, for whom it holds and how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from testbus_schemas.context import ProjectName
from testbus_schemas.events import EventData
from testbus_schemas.model import ClaimedInstant, Model, OpenEnum


class OverrideKind(OpenEnum):
    """What a person decides."""

    #: A failing rule, or a failing test, is accepted.
    WAIVER = "waiver"
    #: A test does not count while somebody mends it.
    QUARANTINE = "quarantine"
    #: Nobody is notified.
    MUTE = "mute"
    #: Somebody is looking after an alarm.
    ACKNOWLEDGEMENT = "acknowledgement"
    #: Two causes are one.
    CAUSE_MERGE = "cause_merge"
    #: They are two after all.
    CAUSE_SPLIT = "cause_split"
    #: A value that a newer sender knows and this code does not.
    UNKNOWN = "unknown"


#: Kinds that hide something: each says until when.
TIMED: Final = frozenset({OverrideKind.WAIVER, OverrideKind.QUARANTINE, OverrideKind.MUTE})


class OverrideScope(Model):
    """For which runs it holds: each is a glob, or None for any."""

    #: Run id.
    run: str | None = Field(default=None, max_length=256)
    #: Full commit id.
    commit: str | None = Field(default=None, max_length=64)
    branch: str | None = Field(default=None, max_length=256)
    suite: str | None = Field(default=None, max_length=128)
    variant: str | None = Field(default=None, max_length=128)


class Override(Model):
    """One decision of a person."""

    #: Identity: the same id is the same decision, however often it is sent.
    id: str = Field(min_length=1, max_length=64)
    #: What is decided.
    kind: OverrideKind
    #: Project for whose runs it holds.
    project: ProjectName
    #: For which of them.
    scope: OverrideScope = OverrideScope()
    #: What it is about: a rule, a node id, a cause, an alert; empty for all.
    subject: str = Field(default="", max_length=2048)
    #: The other cause, where two are merged or split.
    other: str = Field(default="", max_length=64)
    #: Who decided: as good as the account that sent it.
    by: str = Field(min_length=1, max_length=256)
    #: Where: cli, web, slack or file.
    via: str = Field(default="cli", min_length=1, max_length=16)
    #: Why, for people.
    reason: str = Field(default="", max_length=2048)
    #: From when on it holds.
    since: ClaimedInstant
    #: Until when; None for what does not end by itself.
    until: ClaimedInstant | None = None
    #: Id of the override that this one ends; None when it ends none. What does nothing else holds for no time.
    ends: str | None = Field(default=None, max_length=64)

    def fault(self, max_days: int) -> str | None:
        """Return why it cannot hold, for people; None when it can. `max_days` bounds what hides something."""
        if self.kind is OverrideKind.UNKNOWN:
            return "its kind is none that is known here: upgrade the consumers, then redrive"
        if self.kind not in TIMED:
            return None
        if self.until is None:
            return f"a {self.kind.value} says until when it holds"
        if self.until - self.since > timedelta(days=max_days):
            return f"a {self.kind.value} holds for {max_days} days at most"
        return None

    def holds(self, at: datetime) -> bool:
        """Tell whether it holds at a moment, unless another one ended it."""
        return self.since <= at and (self.until is None or at < self.until)


class OverrideRequested(EventData):
    """A person decided something; the context is the project's (`project_context`), not that of a run."""

    #: What was decided.
    override: Override


class OverrideRecorded(EventData):
    """An override holds from now on, or does not any more."""

    override: Override
    #: Whether it holds.
    active: bool
