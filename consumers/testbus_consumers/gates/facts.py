"""What the rules judge: a run's tests and coverage, added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_schemas import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.records.coverage import FileSums
    from testbus_consumers.records.reading import Record
    from testbus_schemas.path_rules import PathRules

#: Outcomes that say nothing about the code: these tests did not run.
_NOT_JUDGED: Final = frozenset({Outcome.SKIPPED, Outcome.NOT_RUN})


@dataclass(frozen=True, kw_only=True)
class FailedTest:
    """A test of one variant that needs a person, by its last attempt."""

    #: Node id.
    node_id: str
    #: Variant.
    variant: str
    #: How it ended.
    outcome: Outcome
    #: Identity of its failure's cause; empty when nothing was told of it.
    fingerprint: str = ""
    #: Exception class.
    type: str = ""
    #: First line of the message.
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run, as the rules see it."""

    #: Tests of all variants, by how they ended.
    counts: Mapping[str, int]
    #: Those that need a person.
    failures: tuple[FailedTest, ...]
    #: Files; empty when nothing measured.
    coverage: tuple[FileSums, ...]

    @property
    def total(self) -> int:
        """Return how many tests there are."""
        return sum(self.counts.values())

    @property
    def ran(self) -> int:
        """Return how many tests ran."""
        return self.total - sum(self.counts.get(outcome.value, 0) for outcome in _NOT_JUDGED)


def facts_of(record: Record, rules: PathRules) -> RunFacts:
    """Return what the producers that count said of a run; `rules` say where measured files are."""
    return RunFacts(
        counts=record.counts,
        failures=tuple(
            FailedTest(
                node_id=test.node_id,
                variant=test.variant,
                outcome=test.outcome,
                fingerprint=test.fingerprint,
                type=test.type,
                message=test.line,
            )
            for test in record.failures()
        ),
        coverage=record.coverage(rules),
    )
