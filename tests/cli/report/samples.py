"""Runs for tests of the report: real events, as producers and consumers send them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from testbus.report.build import build
from testbus.report.gather import Gathered
from testbus_schemas import (
    ArtifactRecorded,
    CoverageRecorded,
    Event,
    EventData,
    Failure,
    FileCoverage,
    GateEvaluated,
    IssueAction,
    IssueLinked,
    Origin,
    ProducerFinished,
    ProducerStarted,
    Result,
    ResultsRecorded,
    RuleEvaluated,
    RunCompleted,
    RunContext,
    RunInterrupted,
    RunReopened,
    Shard,
    TestsCollected,
    derived,
    fingerprint,
    produced,
)
from testbus_schemas.results import Frame, Output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus.report.model import RunReport

#: When every run here starts.
START = datetime(2026, 11, 20, 11, 2, tzinfo=UTC)

#: A traceback as pytest prints it.
TRACE = """\
    def test_a_rebate_is_never_more_than_the_price(order):
>       assert order.rebate() <= order.price
               ^^^^^^^^^^^^^^

tests/orders/test_rebate.py:41:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

    def rebate(self):
>       return self.price * RATES[self.customer.tier]
E       KeyError: 'platinum'

shop/orders/rebate.py:17: KeyError"""


class Told:
    """Makes the events of one run; each is later than the one before."""

    def __init__(self, run: str = "github:acme/shop:4711:unit", **fields: Any) -> None:
        """Begin a run; fields replace those of its context."""
        self.context = RunContext(
            **{
                "project": "acme-shop",
                "run": run,
                "suite": "unit",
                "repository": "acme/shop",
                "commit": "9f1c2ab47d0e8c6b5a4f3e2d1c0b9a8f7e6d5c4b",
                "base": "main",
                "branch": "rebates",
                "pull_request": "218",
                "build_url": "https://github.com/acme/shop/actions/runs/4711",
                "labels": {"os": "linux"},
                "started_at": START,
            }
            | fields
        )
        self.events: list[Event[EventData]] = []
        self._sequences: dict[str, int] = {}
        self._contexts: dict[str, RunContext] = {}

    def producer(self, name: str, *, shard: tuple[int, int] | None = None, **fields: Any) -> None:
        """Add a producer with its start."""
        place = {"shard": Shard(index=shard[0], total=shard[1]) if shard else None}
        self._contexts[name] = self.context.model_copy(update=place | fields)
        self.sent(name, ProducerStarted, tool="pytest", tool_version="8.3.4", host=f"runner-{name}")

    def sent(self, name: str, model: type[EventData], **data: Any) -> Event[EventData]:
        """Add an event of a producer."""
        sequence = self._sequences[name] = self._sequences.get(name, 0) + 1
        origin = Origin(id=name, sequence=sequence)
        event = produced(model(context=self._contexts[name], producer=origin, **data), time=self._next())
        self.events.append(event)
        return event

    def results(self, name: str, *results: Result) -> None:
        """Add results."""
        self.sent(name, ResultsRecorded, results=results)

    def collected(self, name: str, *node_ids: str) -> None:
        """Add a collection."""
        self.sent(name, TestsCollected, node_ids=node_ids)

    def coverage(self, name: str, **files: tuple[str, str]) -> None:
        """Add coverage: path, with __ for each slash → statements and executed lines."""
        found = tuple(
            FileCoverage(path=f"{path.replace('__', '/')}.py", statements=lines[0], executed=lines[1])
            for path, lines in files.items()
        )
        self.sent(name, CoverageRecorded, files=found)

    def attached(self, name: str, file: str) -> None:
        """Add a file that a test left."""
        sequence = self._sequences[name] = self._sequences[name] + 1
        origin = Origin(id=name, sequence=sequence)
        data = ArtifactRecorded(context=self._contexts[name], producer=origin, name=file, content="eA==")
        self.events.append(produced(data, time=self._next()))

    def finished(self, name: str, status: str = "finished", **data: Any) -> None:
        """Add a producer's end."""
        events = self._sequences[name] + 1
        self.sent(name, ProducerFinished, events=events, status=status, **{"exit_status": 0} | data)

    def completed(self, revision: int = 1, superseded: Iterable[str] = (), reasons: tuple[str, ...] = ()) -> None:
        """Add the decision that all of it, or not all of it, has come."""
        gone = tuple(superseded)
        expected: dict[str, dict[str, int]] = {}
        for event in self.events:
            origin = event.data.producer
            if origin is not None and origin.id not in gone:
                types = expected.setdefault(origin.id, {})
                types[event.name] = types.get(event.name, 0) + 1
        finished_at = self.context.started_at + timedelta(minutes=7, seconds=42)
        data: dict[str, Any] = {"revision": revision, "expected": expected, "superseded": gone}
        data |= {"context": self.context, "finished_at": finished_at}
        self.decided(RunInterrupted(reasons=reasons, **data) if reasons else RunCompleted(**data), "runs")

    def reopened(self, revision: int = 1) -> None:
        """Add the correction of a decision."""
        self.decided(RunReopened(context=self.context, revision=revision, reason="something came later"), "runs")

    def judged(
        self, verdict: str, *rules: RuleEvaluated, revision: int = 1, reasons: tuple[str, ...] = (), total: int = 0
    ) -> None:
        """Add a verdict."""
        failed = tuple(rule.message for rule in rules if rule.outcome == "failed")
        data = {"verdict": verdict, "rules": rules, "reasons": reasons + failed, "counts": {}, "total": total}
        evaluated = GateEvaluated(context=self.context, revision=revision, policy="ab12cd34ef56", **data)
        self.decided(evaluated, "gates")

    def linked(self, failure: Failure, key: str, **fields: Any) -> None:
        """Add an issue for a failure's cause."""
        linked = {"tracker": "jira", "url": f"https://jira.example.com/browse/{key}", "status": "To Do"}
        linked |= {"fingerprint": fingerprint(failure), "key": key, "action": IssueAction.CREATED}
        self.decided(IssueLinked(context=self.context, **linked | fields), "jira")

    def decided(self, data: EventData, consumer: str) -> None:
        """Add an event that a consumer derived."""
        number = len(self.events)
        event = derived(data, consumer=consumer, event_id=f"{consumer}-{number}", time=self._next())
        self.events.append(event)

    def report(self) -> RunReport:
        """Return the report of all that was told."""
        return report_of(self.events)

    def _next(self) -> datetime:
        return START + timedelta(seconds=len(self.events))


def report_of(events: Iterable[Event[EventData]]) -> RunReport:
    """Return the report of events, as they come."""
    kept = Gathered()
    for event in events:
        kept.add(event)
    report = build(kept)
    assert report is not None
    return report


def passed(name: str, seconds: float = 0.01, attempt: int = 1) -> Result:
    """Return a result that passed."""
    return Result(node_id=name, outcome="passed", duration_s=seconds, attempt=attempt)


def failed(name: str, failure: Failure, seconds: float = 0.02, attempt: int = 1, printed: str = "") -> Result:
    """Return a result that failed."""
    output = (Output(name="stdout", text=printed),) if printed else ()
    return Result(
        node_id=name,
        outcome="failed",
        duration_s=seconds,
        attempt=attempt,
        failures=(failure,),
        file=name.partition("::")[0],
        line=40,
        output=output,
    )


def rule(name: str, message: str, outcome: str = "failed", **fields: Any) -> RuleEvaluated:
    """Return a rule that was evaluated."""
    return RuleEvaluated(rule=name, outcome=outcome, message=message, **fields)


#: Where that traceback goes, outermost first.
FRAMES = (Frame(path="tests/orders/test_rebate.py", line=41), Frame(path="shop/orders/rebate.py", line=17))

#: What two tests of the broken run fail for.
REBATE = Failure(type="KeyError", message="'platinum'", text=TRACE, frames=FRAMES)

#: What another one fails for.
TIMEOUT = Failure(
    type="shop.gateway.GatewayTimeout",
    message="the payment gateway did not answer within 5.0 s",
    text="E   shop.gateway.GatewayTimeout: the payment gateway did not answer within 5.0 s",
)


def broken_run() -> Told:
    """Return a run of two variants in two shards each, with three causes, a retried shard, and coverage."""
    told = Told()
    for variant, python in (("py3.11", "3.11"), ("py3.12", "3.12")):
        labels = {"os": "linux", "python": python}
        for index in (1, 2):
            name = f"{variant}-{index}"
            told.producer(name, shard=(index, 2), variant=variant, labels=labels)
            green = [passed(f"tests/test_basket.py::test_item[{index}-{n}]", 0.004 * n) for n in range(140)]
            told.results(name, *green)
            told.coverage(
                name, shop__orders__rebate=("1-40", f"1-{12 * index}"), shop__basket__items=("1-80", "1-78"),
                shop__gateway=("1-30", "1-9"),
            )  # fmt: skip
        told.results(
            f"{variant}-1",
            failed("tests/orders/test_rebate.py::test_a_rebate_is_never_more_than_the_price[gold]", REBATE,
                   printed="order 17 of customer 4\n"),
            failed("tests/orders/test_rebate.py::test_rebates_add_up", REBATE),
        )  # fmt: skip
        told.results(
            f"{variant}-2",
            failed("tests/test_gateway.py::TestPayment::test_refund", TIMEOUT, 5.2),
            failed("tests/test_gateway.py::TestPayment::test_capture", TIMEOUT, 5.1),
            passed("tests/test_gateway.py::TestPayment::test_capture", 4.4, attempt=2),
            Result(node_id="tests/test_search.py::test_index_rebuild", outcome="timeout", duration_s=60.0),
            Result(node_id="tests/test_search.py::test_typo", outcome="skipped", reason="needs Solr"),
        )
        for index in (1, 2):
            told.finished(f"{variant}-{index}", exit_status=1, collected=146, reported=143)
    told.completed()
    told.judged(
        "failed",
        rule("pass_rate", "pass_rate 98.96 %, below 100 %: 8 of 572 tests did not pass: tests/orders/test_rebate.py …",
             value=98.96, threshold=100.0, unit="%"),
        rule("coverage", "coverage 74 %, at least 70 %: 111 of 150 covered", "passed"),
        rule("duration", "duration 462 s, above 400 s", severity="warn"),
    )  # fmt: skip
    told.linked(REBATE, "SHOP-17", title="KeyError: 'platinum' in rebates")
    return told
