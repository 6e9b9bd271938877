"""`python -m benchmarks.chaos --results N --faults N --seed S --json`: what faults lose, and what they double.

The same load goes through two deployments, one left alone and one under faults, and their final states are compared.
The last line of the output, with --json, is one object: results, runs, faults, lost, duplicates, recovery_s,
killed_writing (how often a worker was killed in the middle of writing a part or a decision).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

import click

from benchmarks.chaos.harness import Outcome, Wanted, undertake
from benchmarks.chaos.plan import KINDS

#: Differences that are printed.
_SHOWN = 40

#: Characters of each line of a difference.
_WIDTH = 600


@click.command()
@click.option("--results", type=click.IntRange(1), default=1500, show_default=True, help="Test results, at least.")
@click.option("--faults", type=click.IntRange(1), default=12, show_default=True, help="Faults.")
@click.option("--seed", default=1, show_default=True, help="Load and faults follow from it.")
@click.option("--app", default="testbus_consumers.app", show_default=True, help="Celery application of the workers.")
@click.option("--sort", "sorts", multiple=True, type=click.Choice(list(KINDS)), help="Only such faults. [default: all]")
@click.option("--keep", is_flag=True, help="Keep the folders with all logs, even if nothing is wrong.")
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object.")
def main(results: int, faults: int, seed: int, app: str, sorts: tuple[str, ...], *, keep: bool, as_json: bool) -> None:
    """Compare a deployment under faults with one that was left alone; exit with 1 if they differ."""
    folder = Path(mkdtemp(prefix="testbus-chaos-"))
    wanted = Wanted(results=results, faults=faults, seed=seed, app=app, sorts=sorts)
    outcome = undertake(wanted, folder)
    wrong = outcome.lost or outcome.duplicates
    _tell(outcome)
    if wrong or keep:
        print(f"logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print(json.dumps(outcome.summary))
    sys.exit(1 if wrong else 0)


def _tell(outcome: Outcome) -> None:
    for difference in outcome.differences[:_SHOWN]:
        print("\n".join(line[:_WIDTH] for line in str(difference).splitlines()))
    if (more := len(outcome.differences) - _SHOWN) > 0:
        print(f"… and {more} more differences")
    for left in outcome.unfinished:
        print(f"never ended: {left}")
    for queue, count in outcome.dead_letters.items():
        print(f"{count} dead letters of {queue}")
    for name in sorted(set(outcome.ended)):
        print(f"worker {name} ended by itself {outcome.ended.count(name)} times, and was started again")
    told = ", ".join(f"{name} {value:,}" for name, value in outcome.summary.items())
    print(told)


if __name__ == "__main__":
    main()
