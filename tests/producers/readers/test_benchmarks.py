"""Reports of benchmarks: each form that is read, and what is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from testbus_producers.errors import NoReportError, ReportError
from testbus_schemas import Benchmark
from tests.producers.readers.reading import records, written

if TYPE_CHECKING:
    from pathlib import Path

STATS = {"min": 1.7e-07, "mean": 2e-07, "stddev": 2.5e-08, "rounds": 18876, "ops": 4990036.4}

PYTEST = {
    "machine_info": {"node": "vm"},
    "commit_info": {},
    "benchmarks": [{"group": None, "name": "test_sum[10]", "fullname": "test_b.py::test_sum[10]", "stats": STATS}],
    "datetime": "2026-11-27T20:00:00",
    "version": "5.3.1",
}

GOOGLE = {
    "context": {"date": "2019-11-29"},
    "benchmarks": [
        {"name": "fib_10", "run_type": "iteration", "real_time": 214.9, "cpu_time": 213.1, "time_unit": "ns"},
        {"name": "fib_20", "run_name": "fib_20", "run_type": "iteration", "real_time": 10, "time_unit": "us"},
        {"name": "fib_20", "run_name": "fib_20", "run_type": "iteration", "real_time": 14, "time_unit": "us"},
        {"name": "fib_20_mean", "run_name": "fib_20", "run_type": "aggregate", "real_time": 12, "time_unit": "us"},
        {"name": "broken", "error_occurred": True, "error_message": "no"},
    ],
}

DOTNET = {
    "HostEnvironmentInfo": {},
    "Benchmarks": [
        {"FullName": "Sample.Benchmarks.Fib10", "Statistics": {"N": 14, "Mean": 24.4, "StandardDeviation": 0.2}},
        {"FullName": "Sample.Benchmarks.Broken", "Statistics": None},
    ],
}

JMH = [
    {
        "benchmark": "samples.HelloWorld.wellHelloThere",
        "mode": "thrpt",
        "params": {"a": "17"},
        "primaryMetric": {"score": 3.0, "scoreUnit": "ops/ms", "rawData": [[2.0, 4.0]]},
    },
    {"benchmark": "samples.Slow", "mode": "avgt", "primaryMetric": {"score": 7.0, "scoreUnit": "ns/op"}},
]

CUSTOM = [
    {"name": "CPU load", "unit": "Percent", "value": 50, "range": "5%", "extra": "notes"},
    {"name": "Throughput", "unit": "req/s", "value": 70, "range": "± 1.5"},
]

PAGE = {
    "lastUpdate": 1,
    "entries": {
        "API": [
            {"tool": "customBiggerIsBetter", "benches": [{"name": "old", "value": 1, "unit": "points"}]},
            {"tool": "customBiggerIsBetter", "benches": [{"name": "new", "value": 2, "unit": "points"}]},
        ],
        "Web": [{"tool": "cargo", "benches": [{"name": "load", "value": 3, "unit": "ns/iter", "range": "± 1"}]}],
    },
}

GO = """goos: darwin
goarch: amd64
pkg: example.com/fib
BenchmarkFib10-8   	 5000000	       325 ns/op
BenchmarkFib10-8   	 5000000	       327 ns/op
BenchmarkAlloc/big 	  300000	     40537.1 ns/op	    8192 B/op	       2 allocs/op
PASS
ok  	example.com/fib	8.0s
pkg: example.com/other
BenchmarkFib10-8   	 5000000	       1 ns/op
"""

CARGO = """
running 2 tests
test bench_fib_10 ... bench:         135 ns/iter (+/- 24)
test bench_fib_20 ... bench:      18,149.5 ns/iter (+/- 755)
test normal ... ok
"""

SCRIPT = "fib(10) x 1,431,759 ops/sec ±0.74% (93 runs sampled)\nfib(20) x 12,146 ops/sec ±0.32% (96 runs sampled)\n"


def benchmarks(path: Path, text: str) -> tuple[str, list[Benchmark]]:
    """Return what wrote a report, and its benchmarks as a consumer reads them."""
    report, found = records(written(path, text, "out.txt"), path)
    return report.tool, [Benchmark.model_validate(one) for record in found for one in record.data["benchmarks"]]


@pytest.mark.parametrize(
    ("text", "tool", "expected"),
    [
        (
            json.dumps(PYTEST),
            "pytest-benchmark 5.3.1",
            [
                {
                    "name": "test_sum[10]",
                    "node_id": "test_b.py::test_sum[10]",
                    "mean": 2e-07,
                    "stddev": 2.5e-08,
                    "rounds": 18876,
                    "unit": "s",
                }
            ],
        ),
        (
            json.dumps(GOOGLE, indent=1),
            "googlebenchmark",
            [
                {"name": "fib_10", "mean": 214.9, "unit": "ns"},
                {"name": "fib_20", "mean": 12.0, "unit": "us", "stddev": pytest.approx(2.828, abs=0.01), "rounds": 2},
            ],
        ),
        (
            "\ufeff" + json.dumps(DOTNET),
            "benchmarkdotnet",
            [{"name": "Sample.Benchmarks.Fib10", "mean": 24.4, "unit": "ns", "stddev": 0.2, "rounds": 14}],
        ),
        (
            json.dumps(JMH),
            "jmh",
            [
                {
                    "name": "samples.HelloWorld.wellHelloThere (a=17)",
                    "mean": 3.0,
                    "unit": "ops/ms",
                    "stddev": pytest.approx(1.414, abs=0.01),
                    "rounds": 2,
                    "better": "higher",
                },
                {"name": "samples.Slow", "mean": 7.0, "unit": "ns/op"},
            ],
        ),
        (
            json.dumps(CUSTOM),
            "github-action-benchmark",
            [
                {"name": "CPU load", "mean": 50.0, "unit": "Percent", "stddev": 2.5},
                {"name": "Throughput", "mean": 70.0, "unit": "req/s", "stddev": 1.5, "better": "higher"},
            ],
        ),
        (
            f"window.BENCHMARK_DATA = {json.dumps(PAGE)};\n",
            "github-action-benchmark",
            [
                {"name": "API: new", "mean": 2.0, "unit": "points", "better": "higher"},
                {"name": "Web: load", "mean": 3.0, "unit": "ns/iter", "stddev": 1.0},
            ],
        ),
        (
            GO,
            "go",
            [
                {
                    "name": "example.com/fib.BenchmarkFib10",
                    "mean": 326.0,
                    "unit": "ns/op",
                    "stddev": pytest.approx(1.414, abs=0.01),
                    "rounds": 2,
                },
                {"name": "example.com/fib.BenchmarkAlloc/big", "mean": 40537.1, "unit": "ns/op"},
                {"name": "example.com/fib.BenchmarkAlloc/big B/op", "mean": 8192.0, "unit": "B/op"},
                {"name": "example.com/fib.BenchmarkAlloc/big allocs/op", "mean": 2.0, "unit": "allocs/op"},
                {"name": "example.com/other.BenchmarkFib10", "mean": 1.0, "unit": "ns/op"},
            ],
        ),
        (
            CARGO,
            "cargo",
            [
                {"name": "bench_fib_10", "mean": 135.0, "unit": "ns/iter", "stddev": 24.0},
                {"name": "bench_fib_20", "mean": 18149.5, "unit": "ns/iter", "stddev": 755.0},
            ],
        ),
        (
            SCRIPT,
            "benchmark.js",
            [
                {
                    "name": "fib(10)",
                    "mean": 1431759.0,
                    "unit": "ops/sec",
                    "stddev": pytest.approx(10595.0, abs=1),
                    "rounds": 93,
                    "better": "higher",
                },
                {
                    "name": "fib(20)",
                    "mean": 12146.0,
                    "unit": "ops/sec",
                    "stddev": pytest.approx(38.9, abs=1),
                    "rounds": 96,
                    "better": "higher",
                },
            ],
        ),
    ],
    ids=["pytest", "google", "dotnet", "jmh", "custom", "page", "go", "cargo", "js"],
)
def test_each_form_is_read(tmp_path: Path, text: str, tool: str, expected: list[dict[str, Any]]) -> None:
    """With names, means, deviations, rounds and units as its tool has them, and which of two is the better one."""
    found = benchmarks(tmp_path, text)
    assert found[0] == tool
    assert [one.model_dump(mode="json", exclude_defaults=True) for one in found[1]] == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "package.json", "version": "1.0"}',
        "[1, 2, 3]",
        "[]",
        '{"benchmarks": []}',
        '{"benchmarks": 3, "machine_info": {}}',
        '{"entries": {"a": []}}',
        '[{"name": "x"}]',
        "{" * 100_000,
        "some words\nabout nothing\n",
        "\x00\x01\x02",
    ],
)
def test_what_is_none_is_passed_over_where_a_glob_means_it(tmp_path: Path, text: str) -> None:
    """Many files of a project are JSON or text."""
    with pytest.raises(NoReportError):
        records(written(tmp_path, text, "out.txt"), tmp_path)


def test_a_report_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    """Nobody knows what it would have had."""
    with pytest.raises(ReportError, match="it is no whole JSON") as caught:
        records(written(tmp_path, json.dumps(PYTEST)[:-30], "out.json"), tmp_path)
    assert not isinstance(caught.value, NoReportError)


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    """And secrets in names are redacted."""
    text = '[{"name": "a", "unit": "s", "value": NaN}, {"name": "password=hunter2secret", "unit": "s", "value": 1}]'
    (found,) = benchmarks(tmp_path, text)[1]
    assert found.name == "password=[redacted]"
