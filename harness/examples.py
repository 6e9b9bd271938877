"""One full event of every type, with every field away from its default; the golden files were written from these."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from testbus_schemas import (
    ArtifactRecorded,
    Benchmark,
    BenchmarksRecorded,
    ChangedFile,
    ChangeRecorded,
    Commit,
    CoverageRecorded,
    Cpu,
    EnvironmentRecorded,
    Event,
    EventData,
    FailedCause,
    FailedTest,
    Failure,
    FileCoverage,
    GateEvaluated,
    IssueLinked,
    LaunchLinked,
    LogLevel,
    LogRecord,
    Metric,
    MetricsRecorded,
    Origin,
    Override,
    OverrideRecorded,
    OverrideRequested,
    OverrideScope,
    ProducerFinished,
    ProducerHeartbeat,
    ProducerStarted,
    RegressionDetected,
    RegressionRecovered,
    Result,
    ResultsRecorded,
    RuleEvaluated,
    RunCompleted,
    RunContext,
    RunInterrupted,
    RunReference,
    RunReopened,
    Shard,
    ShardsAnnounced,
    Step,
    TestsCollected,
    VerdictRequested,
    decided,
    derived,
    produced,
)
from testbus_schemas.context import project_context
from testbus_schemas.results import Cause, Frame, Marker, Output

#: When everything in the examples happened.
MOMENT = datetime(2026, 11, 20, 11, 13, 26, 123456, UTC)

PRODUCER = "0192f0c1-7c00-7000-8000-000000000001"

CONTEXT = RunContext(
    project="web-shop",
    run="github:acme/shop:4711:unit",
    suite="unit",
    stage="integration",
    variant="py3.12",
    shard=Shard(index=2, total=4),
    attempt=2,
    repository="acme/shop",
    commit="0123456789abcdef0123456789abcdef01234567",
    base="main",
    branch="feature/ünïcode",
    pull_request="42",
    labels={"os": "linux"},
    build_url="https://ci.example/4711",
    started_at=MOMENT,
)

RESULT = Result(
    node_id="tests/test_a.py::TestA::test_p[0]",
    attempt=2,
    outcome="failed",
    started_at=MOMENT,
    duration_s=1.5,
    phases={"setup": 0.25, "call": 1.0, "teardown": 0.25},
    failures=(
        Failure(
            phase="setup",
            type="builtins.ValueError",
            message="wrong\nvery",
            chain=(Cause(type="builtins.KeyError", message="'x'"),),
            frames=(Frame(path="tests/test_a.py", line=7, function="test_p"),),
            text="E   ValueError: wrong",
        ),
    ),
    reason="known to fail",
    file="tests/test_a.py",
    line=5,
    code_ref="tests/test_a.py:TestA.test_p",
    parameters={"p": "0"},
    markers=(Marker(name="slow", args=("1",)),),
    worker="gw0",
    output=(Output(name="stdout", text="hello"),),
)

_LOGGED = (LogRecord(time=MOMENT, level=LogLevel.WARN, message="slow\nvery", logger="shop.cart"),)

#: With what was added to results since their golden file was written.
GROWN_RESULT = RESULT.model_copy(
    update={
        "description": "Pays.\n\nWith a card.",
        "markers": (Marker(name="tc_id", args=("T-1",), keywords={"params": "a\nb"}),),
        "logs": _LOGGED,
        "steps": (
            Step(
                name="pay",
                started_at=MOMENT,
                duration_s=0.5,
                outcome="failed",
                logs=_LOGGED,
                steps=(Step(name="open", started_at=MOMENT),),
            ),
        ),
    }
)

#: With what an exception that wraps another says of it.
WRAPPED_RESULT = RESULT.model_copy(
    update={
        "failures": (
            Failure(
                type="shop.OrderError",
                message="order 17",
                chain=(
                    Cause(type="builtins.KeyError", message="'x'", relation="cause"),
                    Cause(type="builtins.OSError", message="gone", relation="context"),
                ),
            ),
        )
    }
)

#: With what was added to contexts since the golden files were written.
NUMBERED = CONTEXT.model_copy(update={"run_number": "102"})

_CLOSING = {
    "context": CONTEXT.model_copy(update={"shard": None}),
    "revision": 2,
    "expected": {PRODUCER: {"producer.started": 1, "results.recorded": 3, "producer.finished": 1}},
    "superseded": ("0192f0c1-7c00-7000-8000-000000000000",),
    "finished_at": MOMENT,
}


def _from_producer(model: type[EventData], sequence: int | None, **data: object) -> EventData:
    return model(context=CONTEXT, producer=Origin(id=PRODUCER, sequence=sequence), **data)


_REGRESSION = {
    "context": CONTEXT,
    "kind": "test_failed",
    "cause": "tests:v1:0123456789abcdef",
    "subject": "v1:0123456789abcdef",
    "branch": "main",
    "since": "github:acme/shop:4711:unit",
    "baseline_run": "github:acme/shop:4710:unit",
    "baseline_commit": "89abcdef0123456789abcdef0123456789abcdef",
    "value": 1.0,
    "baseline_value": 0.0,
    "unit": "tests",
    "tests": (RESULT.node_id,),
    "total": 1,
    "fingerprint": "v1:0123456789abcdef",
}

_GROWN_REGRESSION = {
    "context": NUMBERED,
    "since_run": RunReference(
        run="github:acme/shop:4711:unit",
        number="101",
        commit=CONTEXT.commit,
        build_url="https://ci.example/4711",
        started_at=MOMENT,
    ),
    "baseline": RunReference(run="github:acme/shop:4710:unit", number="100", started_at=MOMENT),
    "was_green": True,
    "example": "ValueError: wrong",
    "variant": "py3.12",
}

_OVERRIDE = Override(
    id="0192f0c1-7c00-7000-8000-00000000cafe",
    kind="quarantine",
    project="web-shop",
    scope=OverrideScope(run="github:*", commit="0123*", branch="release/*", suite="unit", variant="py3.*"),
    subject=RESULT.node_id,
    other="0123456789abcdef",
    by="ada@desk",
    via="file",
    reason="SHOP-17",
    since=MOMENT,
    until=MOMENT + timedelta(days=7),
    ends="0192f0c1-7c00-7000-8000-00000000f00d",
)

_DATA: tuple[EventData, ...] = (
    _from_producer(ProducerStarted, 1, tool="pytest", tool_version="9.0", host="runner-1"),
    _from_producer(TestsCollected, 2, node_ids=(RESULT.node_id, "tests/test_b.py::test_b"), chunk=1, chunks=2),
    _from_producer(ResultsRecorded, 3, results=(RESULT, Result(node_id="tests/test_b.py::test_b", outcome="passed"))),
    _from_producer(
        CoverageRecorded,
        4,
        tool="coverage.py 7.6.1",
        files=(
            FileCoverage(
                path="shop/cart.py",
                statements="1-5,8,10-12",
                executed="1-5,8",
                excluded="20",
                branches=((1, 2), (1, 5)),
                executed_branches=((1, 2),),
            ),
        ),
        chunk=1,
        chunks=3,
    ),
    _from_producer(ProducerHeartbeat, None),
    _from_producer(
        ProducerFinished, 5, events=5, status="interrupted", exit_status=2, collected=2, reported=2, dropped=1
    ),
    _from_producer(VerdictRequested, None),
    _from_producer(
        ArtifactRecorded,
        6,
        node_id=RESULT.node_id,
        attempt=2,
        name="screen.png",
        media_type="image/png",
        url="https://ci.example/4711/screen.png",
        content="iVBORw0KGgo=",
        path="out/screen.png",
    ),
    _from_producer(
        ChangeRecorded,
        7,
        tree="fedcba9876543210fedcba9876543210fedcba98",
        target="main",
        merge_base="89abcdef0123456789abcdef0123456789abcdef",
        ancestors=("89abcdef0123456789abcdef0123456789abcdef",),
        target_ancestors=("89abcdef0123456789abcdef0123456789abcdef", "79abcdef0123456789abcdef0123456789abcdef"),
        commits=(Commit(id=CONTEXT.commit, author="Ada", subject="Cart: round once", at=MOMENT),),
        files=(
            ChangedFile(
                path="shop/cart.py",
                old_path="shop/basket.py",
                kind="renamed",
                added="3-5,8",
                functions=("Cart.total",),
            ),
        ),
        codeowners="*.py @acme/shop\n",
        shallow=True,
        cut=("functions: too many",),
    ),
    _from_producer(
        EnvironmentRecorded,
        8,
        python="CPython 3.12.4",
        platform="Linux-6.1-x86_64",
        packages={"pytest": "9.0.1"},
        flags={"NEW_CART": "on"},
        labels={"os": "linux"},
        cpu=Cpu(model="EPYC", count=4),
        memory=8_000_000_000,
    ),
    _from_producer(
        MetricsRecorded,
        9,
        metrics=(
            Metric(name="queries", node_id=RESULT.node_id, value=12.0),
            Metric(name="requests", value=2.5, unit="1/s", better="higher"),
        ),
        left_out=3,
    ),
    _from_producer(
        BenchmarksRecorded,
        10,
        tool="pytest-benchmark 5.1.0",
        benchmarks=(
            Benchmark(name="test_total", node_id=RESULT.node_id, mean=0.002, stddev=0.0001, rounds=7, unit="s"),
            Benchmark(name="pay", mean=17.0, unit="ops/sec", better="higher"),
        ),
    ),
    _from_producer(ShardsAnnounced, None, variant="py3.12", total=4),
    RunCompleted(**_CLOSING),
    RunInterrupted(**_CLOSING, reasons=("shard 3 of 4 never reported",)),
    RunReopened(context=CONTEXT, revision=1, reason="results.recorded of producer 0192f0c1 came later"),
    GateEvaluated(
        context=CONTEXT,
        revision=2,
        verdict="failed",
        rules=(
            RuleEvaluated(
                rule="pass_rate", outcome="failed", value=50.0, threshold=100.0, unit="%", message="pass_rate 50 %"
            ),
        ),
        reasons=("pass_rate 50 %",),
        counts={"failed": 1, "passed": 1},
        total=2,
        failures=(
            FailedTest(
                node_id=RESULT.node_id,
                variant="py3.12",
                outcome="failed",
                fingerprint="v1:0123456789abcdef",
                type="builtins.ValueError",
                message="wrong",
            ),
        ),
        policy="0123456789ab",
    ),
    IssueLinked(
        context=CONTEXT,
        fingerprint="v1:0123456789abcdef",
        tracker="jira",
        key="SHOP-17",
        url="https://jira.example/browse/SHOP-17",
        title="ValueError: wrong",
        status="To Do",
        node_ids=(RESULT.node_id,),
        action="created",
    ),
    LaunchLinked(
        context=CONTEXT,
        target="eu",
        uuid="5d0c9a52-0000-5000-8000-00000000abcd",
        number=7,
        url="https://rp.example/ui/#shop/launches/all/17",
    ),
    RegressionDetected(**_REGRESSION, message="1 test fails that passed"),
    RegressionRecovered(**_REGRESSION, message="1 test passes again"),
    OverrideRequested(context=project_context("web-shop", MOMENT), override=_OVERRIDE),
    OverrideRecorded(context=project_context("web-shop", MOMENT), override=_OVERRIDE, active=True),
)


def _event(data: EventData) -> Event[EventData]:
    if isinstance(data, OverrideRequested):
        return decided(data, event_id=data.override.id, time=MOMENT)
    if data.producer is None:
        return derived(data, consumer="runs", event_id="5d0c9a52-0000-5000-8000-000000000001", time=MOMENT)
    event = produced(data, time=MOMENT)
    if data.producer.sequence is None:
        event = event.model_copy(update={"id": "0192f0c1-7c00-7000-8000-00000000beef"})
    return event


#: Short name → event.
EXAMPLES: dict[str, Event[EventData]] = {event.name: event for event in map(_event, _DATA)}

#: Name of a golden file → an event with what was added to its type since the type's own golden file was written.
GROWN: dict[str, Event[EventData]] = {
    "results.recorded-2": _event(_from_producer(ResultsRecorded, 3, results=(GROWN_RESULT,))),
    "producer.started-2": _event(
        EXAMPLES["producer.started"].data.model_copy(
            update={"context": CONTEXT.model_copy(update={"started_at_claimed": MOMENT + timedelta(days=3650)})}
        )
    ),
    "producer.finished-2": _event(
        _from_producer(
            ProducerFinished,
            6,
            events=6,
            status="finished",
            exit_status=1,
            collected=6,
            reported=2,
            failures=1,
            failed=1,
            left_out=4,
            stopped="session-timeout: 1.0 sec exceeded",
            faults=2,
        )
    ),
    "results.recorded-4": _event(
        _from_producer(ResultsRecorded, 3, results=(RESULT.model_copy(update={"memory_kb": 51_200}),))
    ),
    "results.recorded-3": _event(_from_producer(ResultsRecorded, 3, results=(WRAPPED_RESULT,))),
    "producer.started-3": _event(
        ProducerStarted(context=NUMBERED, producer=Origin(id=PRODUCER, sequence=1), tool="pytest")
    ),
    "gate.evaluated-2": _event(
        GateEvaluated(
            context=NUMBERED,
            revision=1,
            verdict="failed",
            rules=(),
            counts={"failed": 3},
            total=3,
            causes=(
                FailedCause(
                    fingerprint="v1:0123456789abcdef",
                    outcome="failed",
                    type="builtins.ValueError",
                    message="wrong",
                    node_id=RESULT.node_id,
                    total=3,
                ),
            ),
            causes_total=1,
        )
    ),
    "issue.linked-2": _event(
        IssueLinked(
            context=NUMBERED,
            fingerprint="v1:0123456789abcdef",
            tracker="jira",
            key="SHOP-17",
            url="https://jira.example/browse/SHOP-17",
            total=24,
            action="updated",
        )
    ),
    "regression.detected-2": _event(
        RegressionDetected(
            **_REGRESSION | _GROWN_REGRESSION, message="1 test fails since commit 0123456 (was green in #100)"
        )
    ),
    "regression.recovered-2": _event(
        RegressionRecovered(**_REGRESSION | _GROWN_REGRESSION, message="1 test no longer fails")
    ),
}
