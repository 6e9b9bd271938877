"""A consumer of one file: after each run it appends the slowest tests to a CSV file, for a spreadsheet."""

from __future__ import annotations

import csv
from heapq import nlargest
from pathlib import Path

from testbus_consumers.runtime import Consumer, Done, Effects, Outcome, RunCompletion, effect
from testbus_consumers.settings import Section


class SlowestSettings(Section):
    """Section `consumers.slowest`."""

    #: The file; it is made when the first run is over.
    file: Path
    #: Tests of each run.
    tests: int = 10


def append(completion: RunCompletion, effects: Effects) -> Outcome:
    """Append the slowest tests of a run, once for each decision about it."""
    slowest = nlargest(effects.settings.tests, completion.record.tests(), key=lambda test: test.seconds)
    rows = [[completion.run, test.variant, test.node_id, round(test.seconds, 3)] for test in slowest]

    def write() -> int:
        with effects.settings.file.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return len(rows)

    written = effects.once(f"{completion.run} {completion.revision}", write, lambda: None)
    return Done(f"{written} tests appended")


CONSUMER = Consumer(
    name="slowest", summary="lists the slowest tests", settings=SlowestSettings, on_complete=effect(append)
)
