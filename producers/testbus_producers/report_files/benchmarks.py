"""Reports of benchmarks: what pytest-benchmark writes, and most forms that github-action-benchmark reads.

JSON of pytest-benchmark, Google Benchmark, BenchmarkDotNet and JMH, github-action-benchmark's own data and its custom
form (a list of name, unit and value); what `go test -bench`, `cargo bench` and Benchmark.js print.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from testbus_producers.errors import NoReportError, ReportError
from testbus_producers.redaction.cleaner import node_name
from testbus_producers.report_files.records import ReportRecord
from testbus_producers.spool import event_builder
from testbus_schemas.wire import MAX_METRIC_NAME, MAX_METRIC_UNIT, MAX_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbus_producers.report_files.records import How, ReportFile

#: Bound in bytes of a report, which is read as a whole.
_MAX_BYTES: Final = 64 * 1024 * 1024

#: The same of what was printed, which any text may be.
_MAX_PRINTED: Final = 4 * 1024 * 1024

#: What stands before the JSON in the data that github-action-benchmark keeps for its page.
_PAGE: Final = re.compile(r"\s*window\.BENCHMARK_DATA\s*=\s*")

#: Units of which more is better, where nobody says which of two values is.
_RATE: Final = re.compile(
    r"/\s*(?:s|sec|secs|second|seconds|min|minute)\b|\bper (?:second|minute)\b|\bfps\b|\bhz\b", re.IGNORECASE
)

#: A line of `go test -bench`, and each value in it; one of `cargo bench`, and one of Benchmark.js.
_GO: Final = re.compile(r"(Benchmark\S*?)(?:-\d+)?\s+(\d+)\s+(\d[\d.e+-]*\s+\S.*)")
_GO_VALUE: Final = re.compile(r"(\d[\d.e+-]*)\s+(\S+)")
_CARGO: Final = re.compile(r"test (\S+)(?: - \S+)?\s+\.\.\. bench:\s+([\d,.]+) (\S+)(?: \(\+/- ([\d,.]+)\))?")
_JS: Final = re.compile(r"\s*(\S.*?) x ([\d,.]+) (ops/sec) ±([\d.]+)%(?: \((\d+) runs? sampled\))?")

#: Tools of github-action-benchmark's data whose larger value is the better one, whatever the unit.
_LARGER: Final = frozenset({"customBiggerIsBetter", "benchmarkjs", "benchmarkluau"})


class _Value(NamedTuple):
    """One benchmark as its report has it."""

    name: str
    mean: float
    unit: str
    stddev: float | None = None
    rounds: int | None = None
    node_id: str | None = None
    better: str | None = None


class _Unknown(Exception):  # noqa: N818 it is no error: another form is tried
    """The file has another form."""


def records(how: How, report: ReportFile) -> Iterator[ReportRecord]:
    """Yield the benchmarks of a report, and fill in what wrote it. Raises ReportError."""
    text = _text(report)
    tool, values = _from_json(text, report) if text.lstrip()[:1] in {"{", "["} or _PAGE.match(text) else _printed(text)
    if not values:
        raise NoReportError(str(report.path), "it has no results of tests, coverage or benchmarks")
    report.tool = tool
    benchmarks = [_as_data(how, one) for one in values if math.isfinite(one.mean) and one.name]
    for at in range(0, len(benchmarks), MAX_METRICS):
        chunk = {"tool": tool[:128], "benchmarks": benchmarks[at : at + MAX_METRICS]}
        yield ReportRecord(event_builder.BENCHMARKS, chunk)


def _text(report: ReportFile) -> str:
    try:
        with report.path.open("rb") as file:
            content = file.read(_MAX_PRINTED + 1)
            is_json = content.lstrip()[:1] in {b"{", b"["} or _PAGE.match(content[:64].decode("utf-8", "replace"))
            if len(content) > _MAX_PRINTED and not is_json:
                raise NoReportError(str(report.path), "it is no report, or too large for one")
            content += file.read(_MAX_BYTES)
    except OSError as error:
        raise ReportError(str(report.path), f"it cannot be read ({error.strerror or error})") from error
    if len(content) > _MAX_BYTES:
        raise NoReportError(
            str(report.path), f"it has more than {_MAX_BYTES >> 20} MiB, which no report of benchmarks has"
        )
    return content.decode("utf-8-sig", "replace")


def _as_data(how: How, value: _Value) -> dict[str, Any]:
    better = how.better or value.better or ("higher" if _RATE.search(value.unit) else "lower")
    data: dict[str, Any] = {
        "name": how.clean.value(value.name)[:MAX_METRIC_NAME],
        "mean": value.mean,
        "unit": value.unit[:MAX_METRIC_UNIT],
        "better": better,
    }
    if value.node_id:
        data["node_id"] = node_name(value.node_id)
    if value.stddev is not None and math.isfinite(value.stddev) and value.stddev >= 0:
        data["stddev"] = value.stddev
    if value.rounds is not None and value.rounds > 0:
        data["rounds"] = value.rounds
    return data


def _from_json(text: str, report: ReportFile) -> tuple[str, list[_Value]]:
    """Return what wrote some JSON, and its benchmarks: by the first form that fits."""
    path = str(report.path)
    try:
        content = json.loads(_PAGE.sub("", text, count=1).rstrip().removesuffix(";"))
    except (ValueError, RecursionError) as error:
        if '"benchmarks"' in text or '"benches"' in text:
            raise ReportError(path, f"it is no whole JSON ({error})", remedy="have it written anew") from None
        raise NoReportError(path, "it is JSON that cannot be read, and of no benchmarks") from None
    for form in _FORMS:
        try:
            return form(content)
        except (_Unknown, LookupError, TypeError, ValueError, AttributeError):
            continue
    raise NoReportError(path, "it is JSON of a form that is not known", remedy=_KNOWN)


#: What is said of JSON that no form fits.
_KNOWN: Final = (
    "testbus reads JSON of pytest-benchmark, Google Benchmark, BenchmarkDotNet, JMH and github-action-benchmark"
)


def _pytest_benchmark(content: Any) -> tuple[str, list[_Value]]:
    if "machine_info" not in content:
        raise _Unknown
    values = [
        _Value(
            name=str(one["name"]),
            mean=float(one["stats"]["mean"]),
            unit="s",
            stddev=float(one["stats"]["stddev"]),
            rounds=int(one["stats"]["rounds"]),
            node_id=str(one["fullname"]),
        )
        for one in content["benchmarks"]
    ]
    return f"pytest-benchmark {content.get('version', '')}".strip(), values


def _google(content: Any) -> tuple[str, list[_Value]]:
    """Read Google Benchmark: single runs, or where there are several of one benchmark, their mean and deviation."""
    if "context" not in content:
        raise _Unknown
    single: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for one in content["benchmarks"]:
        if one.get("run_type", "iteration") == "iteration" and not one.get("error_occurred"):
            name = str(one.get("run_name") or one["name"])
            single[name].append((float(one["real_time"]), str(one.get("time_unit", "ns"))))
    return "googlebenchmark", [_of_rounds(name, rounds) for name, rounds in single.items()]


def _dotnet(content: Any) -> tuple[str, list[_Value]]:
    values = []
    for one in content["Benchmarks"]:
        numbers = one.get("Statistics")
        if numbers:
            name, mean = str(one.get("FullName") or one["DisplayInfo"]), float(numbers["Mean"])
            values.append(_Value(name, mean, "ns", float(numbers["StandardDeviation"]), int(numbers["N"])))
    return "benchmarkdotnet", values


def _jmh(content: Any) -> tuple[str, list[_Value]]:
    values = []
    for one in content:
        metric = one["primaryMetric"]
        given = ",".join(f"{name}={value}" for name, value in (one.get("params") or {}).items())
        rounds = [float(number) for fork in metric.get("rawData") or () for number in fork]
        values.append(
            _Value(
                name=f"{one['benchmark']} ({given})" if given else str(one["benchmark"]),
                mean=float(metric["score"]),
                unit=str(metric["scoreUnit"]),
                stddev=statistics.stdev(rounds) if len(rounds) > 1 else None,
                rounds=len(rounds) or None,
                better="higher" if one.get("mode") == "thrpt" else "lower",
            )
        )
    return "jmh", values


def _custom(content: Any) -> tuple[str, list[_Value]]:
    """Read a list of values, which do not say whether more is better."""
    if not isinstance(content, list):
        raise _Unknown
    return "github-action-benchmark", [_entry(one) for one in content]


def _page(content: Any) -> tuple[str, list[_Value]]:
    """Read the data of github-action-benchmark's page: of each of its suites the latest entry."""
    values = []
    for suite, entries in content["entries"].items():
        latest = entries[-1]
        better = "higher" if latest.get("tool") in _LARGER else None
        prefix = f"{suite}: " if len(content["entries"]) > 1 else ""
        found = map(_entry, latest["benches"])
        values += [one._replace(name=prefix + one.name, better=better) for one in found]
    return "github-action-benchmark", values


def _entry(one: Mapping[str, Any]) -> _Value:
    value = _Value(str(one["name"]), float(one["value"]), str(one["unit"]))
    spread = re.fullmatch(r"\s*(?:±|\+/-)?\s*([\d.,]+)\s*(%?)\s*", str(one.get("range", "")))
    if spread is None:
        return value
    number = _number(spread[1])
    return value._replace(stddev=abs(value.mean) * number / 100 if spread[2] else number)


_FORMS: Final[tuple[Callable[[Any], tuple[str, list[_Value]]], ...]] = (
    _pytest_benchmark,
    _google,
    _dotnet,
    _page,
    _jmh,
    _custom,
)


def _printed(text: str) -> tuple[str, list[_Value]]:
    """Return what printed some lines, and the benchmarks among them."""
    go: dict[str, list[tuple[float, str]]] = defaultdict(list)
    cargo, script = [], []
    # Several packages may have benchmarks of one name.
    package = "" if text.count("\npkg: ") > 1 else None
    for line in text.splitlines():
        if line.startswith("pkg: ") and package is not None:
            package = f"{line[5:].strip()}."
        elif match := _GO.match(line):
            name = (package or "") + match[1]
            for number, unit in _GO_VALUE.findall(match[3]):
                go[name if unit == "ns/op" else f"{name} {unit}"].append((_number(number), unit))
        elif match := _CARGO.match(line):
            spread = _number(match[4]) if match[4] else None
            cargo.append(_Value(match[1], _number(match[2]), match[3], spread))
        elif match := _JS.match(line):
            mean = _number(match[2])
            rounds = int(match[5]) if match[5] else None
            script.append(_Value(match[1], mean, match[3], mean * _number(match[4]) / 100, rounds, better="higher"))
    if go:
        return "go", [_of_rounds(name, rounds) for name, rounds in go.items()]
    return ("cargo", cargo) if cargo else ("benchmark.js", script)


def _of_rounds(name: str, rounds: list[tuple[float, str]]) -> _Value:
    """Return a benchmark of which each round was reported, all in one unit."""
    numbers = [number for number, _ in rounds]
    spread = statistics.stdev(numbers) if len(numbers) > 1 else None
    return _Value(name, statistics.fmean(numbers), rounds[0][1], spread, len(numbers) if len(numbers) > 1 else None)


def _number(text: str) -> float:
    """Return a number as people write it, `1,234.5`; NaN for what is none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return math.nan
