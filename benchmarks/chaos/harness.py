"""The harness: the same load twice, undisturbed and under faults, and what differs in the end."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos import load, quiet, state
from benchmarks.chaos.comparing import Difference, compare
from benchmarks.chaos.deployment import GROUPS, ONE_GROUP, Deployment
from benchmarks.chaos.expectations import expected_of, kept
from benchmarks.chaos.faults import Storm, victims
from benchmarks.chaos.plan import plan
from benchmarks.chaos.sending import Sending
from benchmarks.chaos.workers import Supervisor
from harness.processes import free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.snapshot import Snapshot

#: Up to so many results all queues share two worker trees.
_SMALL: Final = 5000

#: Ports that the sandbox needs.
_SERVERS: Final = 4


class UnfinishedError(Exception):
    """Without any fault, something was still under way when the time was over: there is nothing to compare with."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be tried."""

    #: Results, at least.
    results: int
    #: Faults.
    faults: int
    #: What load and faults follow from.
    seed: int
    #: Celery application of the workers under faults.
    app: str = "testbus_consumers.app"
    #: Sorts of faults; empty: all.
    sorts: tuple[str, ...] = ()
    #: Seconds of silence after which a run is given up: more than any fault lasts, with all that follows from it.
    deadline_s: float = 300.0
    #: Seconds after which a load that is not dealt with is given up; None: what follows from its size.
    patience_s: float | None = None

    @property
    def patience(self) -> float:
        """Return the seconds after which it is given up: so much in any case, and so much for each result."""
        return 300.0 + 0.2 * self.results if self.patience_s is None else self.patience_s


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of it."""

    #: Results and runs of the load, and faults.
    results: int
    runs: int
    faults: int
    #: What is not as in the undisturbed deployment.
    differences: list[Difference]
    #: Dead letters at the end, by queue.
    dead_letters: dict[str, int]
    #: Workers that ended although nobody killed them.
    ended: list[str]
    #: What was still under way when patience was over, for people: what never ends is lost.
    unfinished: list[str]
    #: Seconds from the last fault's end until everything was quiet.
    recovery_s: float
    #: How often a worker was killed while it wrote a part or a decision.
    killed_writing: int

    @property
    def lost(self) -> int:
        """Return how much is missing or stands there otherwise, dead letters and what never ended included."""
        return sum(one.lost for one in self.differences) + sum(self.dead_letters.values()) + len(self.unfinished)

    @property
    def duplicates(self) -> int:
        """Return how much is there that is not to be, most of all what is there twice."""
        return sum(one.duplicates for one in self.differences)

    @property
    def summary(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "results": self.results,
            "runs": self.runs,
            "faults": self.faults,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "recovery_s": round(self.recovery_s, 1),
            "killed_writing": self.killed_writing,
        }


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What became of a load undisturbed."""

    #: First port of the targets: what follows from their addresses is comparable on the same ones only.
    port: int
    #: The final state.
    snapshot: Snapshot


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """One deployment's end."""

    snapshot: Snapshot
    dead_letters: dict[str, int]
    ended: list[str]
    unfinished: list[str]
    recovery_s: float
    killed_writing: int
    load: load.Load


def undertake(wanted: Wanted, folder: Path) -> Outcome:
    """Do it; everything is private to it, and in the folder."""
    return with_faults(wanted, folder, baseline(wanted, folder))


def baseline(wanted: Wanted, folder: Path) -> Baseline:
    """Return what becomes of the load when nothing disturbs it; UnfinishedError if not even that comes to an end."""
    port = free_ports(_SERVERS)
    ended = _run(wanted, folder / "baseline", port, faults=0)
    if ended.unfinished:
        raise UnfinishedError(f"undisturbed, after {wanted.patience:g} s: {', '.join(ended.unfinished)}; see {folder}")
    return Baseline(port=port, snapshot=ended.snapshot)


def with_faults(wanted: Wanted, folder: Path, undisturbed: Baseline) -> Outcome:
    """Return what becomes of it under faults, compared with what became of the same load undisturbed."""
    disturbed = _run(wanted, folder / "storm", undisturbed.port, faults=wanted.faults)
    # What both deployments get wrong alike is found by what the load itself implies.
    alike = compare(expected_of(disturbed.load), kept(disturbed.snapshot))
    return Outcome(
        results=disturbed.load.results,
        runs=disturbed.load.runs,
        faults=wanted.faults,
        differences=compare(undisturbed.snapshot, disturbed.snapshot) or alike,
        dead_letters=disturbed.dead_letters,
        ended=disturbed.ended,
        unfinished=disturbed.unfinished,
        recovery_s=disturbed.recovery_s,
        killed_writing=disturbed.killed_writing,
    )


def _run(wanted: Wanted, folder: Path, port: int, *, faults: int) -> _Ended:
    folder.mkdir()
    base = datetime.now(UTC).replace(second=0, microsecond=0)
    work = load.build(wanted.results, wanted.seed, base)
    small = wanted.results <= _SMALL
    began = time.monotonic()
    with ExitStack() as stack:
        deployment = stack.enter_context(
            Deployment(
                folder=folder,
                port=port,
                app=wanted.app if faults else Wanted.app,
                deadline_s=wanted.deadline_s,
                groups=ONE_GROUP if small else GROUPS,
                concurrency=3 if small else 2,
            )
        )
        _say(f"up after {time.monotonic() - began:.0f} s: {work.runs} runs, {work.results} results")
        supervisor = Supervisor(deployment.workers)
        sending = Sending(deployment.amqp_url, work.messages)
        for thread in (supervisor, sending):
            thread.start()
            stack.callback(thread.stop)
        storm = Storm(deployment, sending, wanted.seed)
        if faults:
            over = storm.rage(plan(faults, wanted.seed, victims(deployment), wanted.sorts))
        else:
            over = time.monotonic()
            sending.release(1)
        silence = quiet.wait(deployment, sending, wanted.patience)
        end, beginning = "given up" if silence.left else "quiet", "last fault" if faults else "beginning"
        _say(f"{end} {silence.at - over:.1f} s after the {beginning}")
        return _Ended(
            snapshot=state.observe(deployment, base),
            dead_letters=quiet.dead_letters(deployment),
            ended=supervisor.ended,
            unfinished=silence.left,
            recovery_s=silence.at - over,
            killed_writing=storm.killed_writing,
            load=work,
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
