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
    file, key = effects.settings.file, f"{completion.run},{completion.revision},"
    slowest = nlargest(effects.settings.tests, completion.record.tests(), key=lambda test: test.seconds)
    rows = [[completion.run, completion.revision, one.variant, one.node_id, round(one.seconds, 3)] for one in slowest]

    def write() -> int:
        with file.open("a", newline="", encoding="utf-8") as opened:
            csv.writer(opened).writerows(rows)
        return len(rows)

    # Whether they are there is asked when a worker was killed right after it had written.
    effects.once(key, write, lambda: (file.exists() and key in file.read_text(encoding="utf-8")) or None)
    return Done(f"{len(rows)} tests appended")


CONSUMER = Consumer(
    name="slowest", summary="lists the slowest tests", settings=SlowestSettings, on_complete=effect(append)
)
