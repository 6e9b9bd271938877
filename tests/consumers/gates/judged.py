"""`runs` and `gates` side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import Event, EventData, GateEvaluated

if TYPE_CHECKING:
    from pathlib import Path

#: Rules that many tests use.
COVERAGE = {"rule": "coverage", "minimum": 80}
PASS_RATE = {"rule": "pass_rate", "minimum": 100}


class Judged:
    """`runs` and `gates` side by side, as on a bus."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None) -> None:
        """Begin with nothing."""
        self.runs = ConsumerHarness(RUNS, folder)
        self.gates = ConsumerHarness(GATES, folder, settings)
        self._told = 0

    def deliver(self, *events: Event[EventData]) -> None:
        """Deliver events to `runs`, and to `gates` what `runs` decides."""
        for event in events:
            self.runs.deliver(event)
            self.pass_on()

    def pass_on(self) -> None:
        """Deliver to `gates` what `runs` has decided since."""
        decided = self.runs.emitted[self._told :]
        self._told += len(decided)
        self.gates.deliver(*(event for event in decided if event.name in {"run.completed", "run.interrupted"}))

    @property
    def verdicts(self) -> list[GateEvaluated]:
        """Return every verdict so far."""
        return [event.data for event in self.gates.emitted if isinstance(event.data, GateEvaluated)]

    @property
    def verdict(self) -> GateEvaluated:
        """Return the only verdict."""
        (verdict,) = self.verdicts
        return verdict

    def close(self) -> None:
        """Close both."""
        self.runs.close()
        self.gates.close()
