"""What was reported: each cause once when it is found, once when it is over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, select, update

from testbus_consumers.regressions.history import Case
from testbus_consumers.regressions.tables import ALERT
from testbus_consumers.store.engine import insert
from testbus_consumers.wording.notice import plain
from testbus_consumers.wording.regressions import over, worse
from testbus_schemas import RegressionDetected, RegressionKind, RegressionRecovered
from testbus_schemas.regressions import MAX_TESTS_NAMED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from testbus_consumers.regressions.history import History, Run
    from testbus_consumers.regressions.settings import RegressionsSettings
    from testbus_consumers.runtime import State

#: Digits of a digest that stands for a name of any length.
_DIGITS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Regression:
    """Something that became worse and has not been reported yet."""

    #: What became worse.
    kind: RegressionKind
    #: Branch; empty for a flaky test.
    branch: str
    cause: str
    #: What it is about, for people.
    subject: str
    #: The run in which it was found.
    since: Run
    #: The run that it was compared with.
    baseline: Run | None
    #: What it says of values, unit and fingerprint, as fields of the event.
    values: Mapping[str, Any]
    #: Its tests.
    cases: frozenset[Case] = frozenset()
    #: Whether all of them passed in the run that it was compared with; None when that is not known.
    was_green: bool | None = None
    #: The message of one of their failures; empty when none said anything.
    example: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Alert:
    """A cause that was reported and is not over."""

    #: Branch; empty for a flaky test.
    branch: str
    cause: str
    #: The run in which it was found.
    since: str
    #: Its tests that still fail.
    cases: frozenset[Case]
    #: What was reported, as data of the event without its context.
    event_data: Mapping[str, Any]


class Alerts:
    """The alerts of one suite."""

    def __init__(self, state: State[RegressionsSettings], history: History) -> None:
        """Begin with nothing reported."""
        self._state = state
        self._ours = (ALERT.c.project == history.project, ALERT.c.suite == history.suite)
        self._row = {"project": history.project, "suite": history.suite}
        #: How many causes were reported to be there, or to be over.
        self.reported = 0

    def open(self, branch: str, kind: RegressionKind) -> list[Alert]:
        """Return what is open, in an order of its own."""
        query = select(ALERT).where(
            *self._ours, ALERT.c.branch == branch, ALERT.c.kind == kind.value, ALERT.c.is_open.is_(True)
        )
        rows = self._state.execute(query.order_by(ALERT.c.cause, ALERT.c.since))
        return [
            Alert(
                branch=row.branch,
                cause=row.cause,
                since=row.since,
                cases=frozenset(Case(*pair) for pair in row.tests),
                event_data=row.event_data,
            )
            for row in rows
        ]

    def detect(self, found: Regression) -> None:
        """Report a cause, unless this very one was reported before."""
        event_data = {
            "kind": found.kind.value,
            "cause": found.cause,
            "subject": found.subject,
            "branch": found.branch,
            "since": found.since.id,
            "baseline_run": found.baseline.id if found.baseline else None,
            "baseline_commit": found.baseline.commit if found.baseline else None,
            "tests": node_ids(found.cases)[:MAX_TESTS_NAMED],
            "total": len(found.cases),
            "since_run": found.since.reference.model_dump(mode="json"),
            "baseline": found.baseline.reference.model_dump(mode="json") if found.baseline else None,
            "was_green": found.was_green,
            "example": found.example,
            "variant": _variant(found.cases),
            **found.values,
        }
        row = self._row | {
            "branch": found.branch,
            "cause": found.cause,
            "since": found.since.id,
            "kind": found.kind.value,
            "is_open": True,
            "tests": sorted(found.cases),
            "event_data": event_data,
        }
        statement = insert(self._state.connection, ALERT).values(**row).on_conflict_do_nothing()
        if self._state.execute(statement.returning(ALERT.c.cause)).scalar() is None:
            return
        data = RegressionDetected.model_validate(event_data | {"context": found.since.context, "message": ""})
        data = data.model_copy(update={"message": plain(worse(data))})
        self._state.emit(data, counted=(found.branch, found.cause, found.since.id))
        self.reported += 1

    def recover(self, alert: Alert, run: Run, value: float | None = None) -> None:
        """Tell that a cause is over in a run."""
        self._change(alert, is_open=False, tests=[])
        # An alert of an older version knows the run in which it was found by its id only.
        since = {"since_run": {"run": alert.since, "commit": None}, "variant": _variant(alert.cases)}
        data = RegressionRecovered.model_validate(
            {**since, **alert.event_data, "context": run.context, "message": "", "value": value}
        )
        data = data.model_copy(update={"message": plain(over(data))})
        self._state.emit(data, counted=(alert.branch, alert.cause, alert.since))
        self.reported += 1

    def keep(self, alert: Alert, cases: Collection[Case]) -> None:
        """Write down which tests still fail for a cause."""
        if alert.cases != frozenset(cases):
            self._change(alert, tests=sorted(cases))

    def _change(self, alert: Alert, **values: Any) -> None:
        this = and_(
            *self._ours, ALERT.c.branch == alert.branch, ALERT.c.cause == alert.cause, ALERT.c.since == alert.since
        )
        self._state.execute(update(ALERT).where(this).values(**values))


def node_ids(cases: Iterable[Case]) -> list[str]:
    """Return the node ids of tests in any variant, sorted."""
    return sorted({case.node_id for case in cases})


def _variant(cases: Collection[Case]) -> str:
    """Return the variant of the only test, unless that is the default one."""
    variants = {case.variant for case in cases}
    return "".join(variants - {"default"}) if len(cases) == 1 else ""


def digest(*parts: str) -> str:
    """Return a short name of something with a long one."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]
