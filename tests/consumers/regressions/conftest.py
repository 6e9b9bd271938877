"""The consumer, and what it told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.recording import Recorded
from testbus_consumers.regressions import CONSUMER
from testbus_schemas import RegressionDetected, RegressionRecovered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.consumers.regressions.runs_of import CiRun


class Watched:
    """The consumer on a folder of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """Begin with nothing known."""
        self.harness = Recorded(CONSUMER, folder, settings)

    def deliver(self, *runs: CiRun) -> list[str]:
        """Deliver whole runs, one after the other; return what was told of them."""
        already = len(self.harness.emitted)
        for run in runs:
            self.harness.deliver(*run.events())
        return self.told(already)

    def told(self, since: int = 0) -> list[str]:
        """Return what was told as `+kind subject branch` and `-kind subject branch`."""
        return [
            f"{'+' if isinstance(data, RegressionDetected) else '-'}{data.kind} "
            + " ".join(filter(None, (*data.tests, *([data.subject] if not data.tests else []), data.branch)))
            for data in self.data[since:]
        ]

    @property
    def data(self) -> list[Any]:
        """Return the data of everything that was told."""
        found = [event.data for event in self.harness.emitted]
        assert all(isinstance(data, RegressionDetected | RegressionRecovered) for data in found)
        return found


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    """Return a factory: settings to the consumer."""
    made: list[Watched] = []

    def factory(**settings: Any) -> Watched:
        made.append(Watched(tmp_path / str(len(made)), **settings))
        return made[-1]

    yield factory
    for one in made:
        one.harness.close()


@pytest.fixture
def watched(watch: Callable[..., Watched]) -> Watched:
    """Return the consumer with its defaults."""
    return watch()
