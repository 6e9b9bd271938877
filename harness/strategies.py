"""Arbitrary events, as hypothesis makes them up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from testbus_schemas import (
    Benchmark,
    BenchmarksRecorded,
    Better,
    ChangedFile,
    ChangeKind,
    ChangeRecorded,
    Commit,
    CoverageRecorded,
    Cpu,
    EnvironmentRecorded,
    Failure,
    FileCoverage,
    GateEvaluated,
    LogLevel,
    LogRecord,
    Metric,
    MetricsRecorded,
    Origin,
    Outcome,
    ProducerFinished,
    ProducerStatus,
    Result,
    ResultsRecorded,
    RuleEvaluated,
    RunCompleted,
    RunContext,
    Shard,
    Step,
    TestsCollected,
    Verdict,
    produced,
)
from testbus_schemas.coverage import format_lines
from testbus_schemas.results import Cause, Frame, Marker, Output

#: Any text that JSON and a database can hold.
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(_characters, max_size=20)
names = st.text(_characters, min_size=1, max_size=20)
numbers = st.integers(min_value=1, max_value=10_000)
seconds = st.floats(min_value=0, max_value=1e9)
moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9998, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 hypothesis adds the zone
lines = st.frozensets(st.integers(min_value=0, max_value=500), max_size=30)
arcs = st.lists(st.tuples(numbers, numbers), max_size=3)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return the strategy, or None."""
    return st.none() | strategy


def dicts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return small objects of such values."""
    return st.dictionaries(texts, values, max_size=3)


shards = st.tuples(numbers, maybe(numbers)).map(
    lambda pair: Shard(index=pair[0] if pair[1] is None else min(pair), total=pair[1] and max(pair))
)

contexts = st.builds(
    RunContext,
    project=st.text("abcxyz019-", min_size=1, max_size=64),
    run=names,
    suite=names,
    stage=maybe(texts),
    variant=names,
    shard=maybe(shards),
    attempt=numbers,
    repository=maybe(texts),
    commit=maybe(texts),
    base=maybe(texts),
    branch=maybe(texts),
    pull_request=maybe(texts),
    labels=dicts(texts),
    build_url=maybe(texts),
    started_at=moments,
)

failures = st.builds(
    Failure,
    phase=texts,
    type=texts,
    message=texts,
    chain=st.lists(st.builds(Cause, type=texts, message=texts), max_size=2).map(tuple),
    frames=st.lists(st.builds(Frame, path=texts, line=maybe(numbers), function=texts), max_size=2).map(tuple),
    text=texts,
)

logs = st.lists(
    st.builds(LogRecord, time=moments, level=st.sampled_from(LogLevel), message=texts, logger=texts), max_size=2
).map(tuple)


def steps_of(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return steps with such steps below."""
    step = st.builds(
        Step,
        name=names,
        started_at=maybe(moments),
        duration_s=seconds,
        outcome=st.sampled_from(Outcome),
        logs=logs,
        steps=below,
    )
    return st.lists(step, max_size=2).map(tuple)


steps = st.recursive(st.just(()), steps_of, max_leaves=4)

results = st.builds(
    Result,
    node_id=names,
    attempt=numbers,
    outcome=st.sampled_from(Outcome),
    started_at=maybe(moments),
    duration_s=seconds,
    phases=dicts(seconds),
    failures=st.lists(failures, max_size=2).map(tuple),
    reason=maybe(texts),
    file=maybe(texts),
    line=maybe(numbers),
    code_ref=maybe(texts),
    parameters=dicts(texts),
    markers=st.lists(
        st.builds(Marker, name=texts, args=st.lists(texts, max_size=2).map(tuple), keywords=dicts(texts)), max_size=2
    ).map(tuple),
    worker=maybe(texts),
    memory_kb=maybe(numbers),
    output=st.lists(st.builds(Output, name=texts, text=texts), max_size=2).map(tuple),
    description=maybe(texts),
    logs=logs,
    steps=steps,
)

files = st.builds(
    FileCoverage,
    path=texts,
    statements=lines.map(format_lines),
    executed=lines.map(format_lines),
    excluded=lines.map(format_lines),
    branches=maybe(arcs.map(tuple)),
    executed_branches=maybe(arcs.map(tuple)),
)

commit_ids = st.text("0123456789abcdef", min_size=40, max_size=40)
values = st.floats(allow_nan=False, allow_infinity=False)

commits = st.builds(Commit, id=commit_ids, author=texts, subject=texts, at=maybe(moments))

changed_files = st.builds(
    ChangedFile,
    path=names,
    old_path=maybe(texts),
    kind=st.sampled_from(ChangeKind),
    added=lines.map(format_lines),
    functions=st.lists(texts, max_size=2).map(tuple),
)

measured = {"name": names, "node_id": maybe(names), "unit": texts, "better": st.sampled_from(Better)}
metrics = st.builds(Metric, **measured, value=values)
benchmarks = st.builds(Benchmark, **measured, mean=values, stddev=maybe(seconds), rounds=maybe(numbers))

_origin = {"context": contexts, "producer": maybe(st.builds(Origin, id=names, sequence=maybe(numbers)))}

#: Data of any type that has more than a text in it.
data = st.one_of(
    st.builds(ResultsRecorded, **_origin, results=st.lists(results, max_size=3).map(tuple)),
    st.builds(TestsCollected, **_origin, node_ids=st.lists(texts, max_size=4).map(tuple), chunk=numbers),
    st.builds(CoverageRecorded, **_origin, tool=texts, files=st.lists(files, max_size=2).map(tuple)),
    st.builds(
        ChangeRecorded,
        **_origin,
        tree=commit_ids,
        target=maybe(texts),
        merge_base=maybe(commit_ids),
        ancestors=st.lists(commit_ids, max_size=2).map(tuple),
        target_ancestors=st.lists(commit_ids, max_size=2).map(tuple),
        commits=st.lists(commits, max_size=2).map(tuple),
        files=st.lists(changed_files, max_size=2).map(tuple),
        codeowners=maybe(texts),
        shallow=st.booleans(),
        cut=st.lists(texts, max_size=2).map(tuple),
    ),
    st.builds(
        EnvironmentRecorded,
        **_origin,
        python=texts,
        platform=texts,
        packages=dicts(texts),
        flags=dicts(texts),
        labels=dicts(texts),
        cpu=maybe(st.builds(Cpu, model=texts, count=maybe(numbers))),
        memory=maybe(numbers),
    ),
    st.builds(MetricsRecorded, **_origin, metrics=st.lists(metrics, max_size=3).map(tuple), left_out=numbers),
    st.builds(BenchmarksRecorded, **_origin, tool=texts, benchmarks=st.lists(benchmarks, max_size=3).map(tuple)),
    st.builds(ProducerFinished, **_origin, events=numbers, status=st.sampled_from(ProducerStatus), exit_status=numbers),
    st.builds(
        RunCompleted,
        context=contexts,
        revision=numbers,
        expected=dicts(dicts(numbers)),
        superseded=st.lists(texts, max_size=2).map(tuple),
        finished_at=moments,
    ),
    st.builds(
        GateEvaluated,
        context=contexts,
        revision=numbers,
        verdict=st.sampled_from(Verdict),
        rules=st.lists(
            st.builds(RuleEvaluated, rule=texts, outcome=texts, value=maybe(seconds), message=texts), max_size=2
        ).map(tuple),
        counts=dicts(numbers),
        total=numbers,
    ),
)

#: Any event.
events = st.builds(produced, data, time=moments)
