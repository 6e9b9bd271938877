"""The load: runs of many suites as the events of their producers, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from testbus_broker.message import message_of
from testbus_schemas import (
    CoverageRecorded,
    EventData,
    Failure,
    FileCoverage,
    Origin,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    Result,
    ResultsRecorded,
    RunContext,
    Shard,
    TestsCollected,
    produced,
)
from testbus_schemas.identity import derived_id
from testbus_schemas.results import Output
from testbus_schemas.wire import MAX_RESULTS_PER_EVENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbus_broker.message import Message

#: Projects that the runs belong to.
PROJECTS: Final = ("api", "shop", "web")

#: Branches of each suite: the base first. One run for each, so that what is compared with what depends on no order of
#: arrival: of three runs of one branch, the middle one coming last would rightly be told otherwise.
BRANCHES: Final = ("main", "feature/a", "feature/b", "feature/c")

#: Results in one event of a short load.
_CHUNK: Final = 20

#: For each so many results of the load, suites and events are larger by the size that those of a short load have.
_SCALED: Final = 30_000

#: Of all messages, the share that a producer sends twice.
_TWICE: Final = 0.1

#: How many runs are under way at once.
_BESIDE: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One producer of a run: what a CI job would be."""

    #: The run's context, as this producer has it.
    context: RunContext
    #: Its results.
    results: tuple[Result, ...]
    #: How many of them go into one event.
    chunk: int
    #: Of 100 lines, how many ran.
    covered: int
    #: How it ended.
    status: str = "finished"

    @property
    def name(self) -> str:
        """Return its id."""
        return derived_id("chaos", self.context.run, self.context.variant, self.context.shard_index)


@dataclass(frozen=True, kw_only=True)
class Load:
    """Everything that is sent."""

    #: From when all times count: whole minute, UTC.
    base: datetime
    #: The producers of all runs.
    jobs: tuple[Job, ...]
    #: In the order in which they are published, duplicates included.
    messages: tuple[Message, ...] = field(repr=False)

    @property
    def runs(self) -> int:
        """Return how many runs there are."""
        return len({job.context.run for job in self.jobs})

    @property
    def results(self) -> int:
        """Return how many results there are."""
        return sum(len(job.results) for job in self.jobs)


def build(results: int, seed: int, base: datetime) -> Load:
    """Return a load of at least so many results; `base` is about now, and all times follow from it."""
    chance = random.Random(f"load {seed}")
    jobs: list[Job] = []
    number = 0
    # A long load has larger suites, not only more of them: what a run costs is not what is tried.
    scale = max(1.0, results / _SCALED)
    while sum(len(job.results) for job in jobs) < results:
        jobs += _suite(number, seed, chance, base, scale)
        number += 1
    return Load(base=base, jobs=tuple(jobs), messages=tuple(_shuffled(jobs, chance)))


def _suite(number: int, seed: int, chance: random.Random, base: datetime, scale: float) -> Iterator[Job]:
    """Yield the producers of one suite: its base run, and one run of each other branch."""
    project = chance.choice(PROJECTS)
    tests = [f"tests/test_{number}.py::test_{index}" for index in range(round(scale * chance.randint(20, 50)))]
    variants = chance.choice([("default",), ("default",), ("3.11", "3.12")])
    shards = chance.choice([1, 1, 2])
    chronic = chance.random() < 0.5  # noqa: PLR2004 half of them
    for place, branch in enumerate(BRANCHES):
        # No two runs of a suite at the same time, and none in the future for long.
        started = base - timedelta(minutes=5) + timedelta(seconds=number + place / 4)
        context = {
            "project": project,
            "run": f"chaos:{seed}:{number}:{place}",
            "suite": f"suite-{number}",
            "branch": branch,
            "base": None if branch == BRANCHES[0] else BRANCHES[0],
            "commit": derived_id("commit", seed, number, place).replace("-", ""),
            "started_at": started,
        }
        crashed = branch == BRANCHES[3] and chance.random() < 0.3  # noqa: PLR2004 some
        failing = _failing(number, branch, tests, chronic=chronic)
        for variant in variants:
            for index in range(shards):
                own = tests[index::shards]
                last = crashed and variant == variants[-1] and index == shards - 1
                yield Job(
                    context=RunContext(
                        **context,
                        variant=variant,
                        shard=Shard(index=index + 1, total=shards) if shards > 1 else None,
                    ),
                    results=tuple(_results(own[: len(own) // 2] if last else own, failing, branch, started)),
                    chunk=min(round(_CHUNK * scale), MAX_RESULTS_PER_EVENT),
                    covered=60 if branch == BRANCHES[1] else 80,
                    status="crashed" if last else "finished",
                )


def _failing(number: int, branch: str, tests: Sequence[str], *, chronic: bool) -> dict[str, str]:
    """Return the tests that fail on a branch, with the name of the cause."""
    failing = dict.fromkeys(tests[:2], f"chronic{number}") if chronic else {}
    if branch in BRANCHES[1:3]:
        failing |= dict.fromkeys(tests[3:6], f"fresh{number}")
    return failing


def _results(tests: Iterable[str], failing: dict[str, str], branch: str, started: datetime) -> Iterator[Result]:
    for place, test in enumerate(tests):
        common: dict[str, Any] = {
            "node_id": test,
            "started_at": started + timedelta(seconds=1, milliseconds=10 * place),
            "duration_s": 0.005,
        }
        if test in failing:
            yield Result(**common, outcome="failed", failures=(_failure(failing[test]),), output=_OUTPUT)
        elif test.endswith("_9"):
            yield Result(**common, outcome="skipped", reason="not on this machine")
        elif test.endswith("_7") and branch == BRANCHES[2]:
            yield Result(**common, outcome="failed", failures=(_failure("shaky"),))
            yield Result(**common, outcome="passed", attempt=2)
        else:
            yield Result(**common, outcome="passed")


_OUTPUT: Final = (Output(name="stdout", text="before it failed\n"),)


def _failure(cause: str) -> Failure:
    kind = f"chaos.{cause.capitalize()}Error"
    said = f"the {cause} part broke"
    return Failure(type=kind, message=said, text=f"def test():\n>   work()\nE   {kind}: {said}\n")


def _events(job: Job, base: datetime) -> Iterator[tuple[EventData, datetime]]:
    """Yield the events of a producer, in its own order."""
    sequence = 0

    def said(model: type[EventData], **data: Any) -> tuple[EventData, datetime]:
        nonlocal sequence
        sequence += 1
        origin = Origin(id=job.name, sequence=sequence)
        return model(context=job.context, producer=origin, **data), base + timedelta(milliseconds=sequence)

    yield said(ProducerStarted, tool="chaos")
    yield ProducerHeartbeat(context=job.context, producer=Origin(id=job.name)), base
    yield said(TestsCollected, node_ids=tuple(dict.fromkeys(result.node_id for result in job.results)))
    for start in range(0, len(job.results), job.chunk):
        yield said(ResultsRecorded, results=job.results[start : start + job.chunk])
    file = FileCoverage(path="shop/cart.py", statements="1-100", executed=f"1-{job.covered}")
    yield said(CoverageRecorded, files=(file,))
    yield said(ProducerFinished, events=sequence + 1, status=job.status, reported=len(job.results))


def _shuffled(jobs: Sequence[Job], chance: random.Random) -> Iterator[Message]:
    """Yield all messages: several runs at once, no order within a run, some of them twice."""
    places: dict[str, int] = {}
    timed: list[tuple[float, Message]] = []
    for job in jobs:
        place = places.setdefault(job.context.run, len(places))
        for data, moment in _events(job, job.context.started_at + timedelta(seconds=2)):
            event = produced(data, time=moment)
            if isinstance(data, ProducerHeartbeat):
                # Signs of life have no position that an id could follow from.
                event = event.model_copy(update={"id": derived_id("chaos", "heartbeat", job.name)})
            message = message_of(event)
            timed += [(place + chance.uniform(0, _BESIDE), message) for _ in range(1 + (chance.random() < _TWICE))]
    timed.sort(key=lambda one: one[0])
    yield from (message for _, message in timed)
