"""From pytest's reports to results: one result at the end of each attempt of each test.

pytest reports setup, call and teardown of a test separately, xdist interleaves the reports of several tests, and
plugins add reports of their own (subtests, reruns, crashes of a worker). The rules here give test for test what
pytest's own JUnit XML says of the same session.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.context.run_context import utc_text
from testbus_producers.plugin import result_details
from testbus_producers.plugin.result_details import badness, bounded, from_text
from testbus_producers.redaction.cleaner import node_name
from testbus_producers.spool.event_builder import PASSED, code_ref, passed, to_json
from testbus_schemas.wire import MAX_DESCRIPTION, MAX_METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import CollectReport, TestReport  # noqa: PT013 only names for annotations

    from testbus_producers.redaction.cleaner import Cleaner
    from testbus_producers.safe_call import SafeCalls

#: Attribute by which the process that runs a test hands on what only it knows; plain data, so that xdist carries it.
CARRIED: Final = "testbus"

#: What the first report of a worker hands on: the process that it is.
PROCESS: Final = "process"

#: What pytest says of a test whose subtests failed.
_CONTAINS_FAILED = re.compile(r"contains \d+ failed subtests?")

_PHASES: Final = frozenset({"setup", "call", "teardown"})

#: Outcome that pytest-rerunfailures gives the reports of an attempt that is followed by another.
RERUN: Final[str] = "rerun"

#: Outcomes whose captured output nobody asks for.
_QUIET: Final = frozenset({"passed", "skipped"})

_BAD: Final = frozenset({"failed", RERUN})

_SECTION = re.compile(r"Captured (stdout|stderr|log)\b")

#: Bound in seconds of a phase: a longer one is a clock that was moved.
_LONGEST_S: Final = 1e8

#: Bound of a line's number.
_MAX_LINE: Final = 2**31

#: Seconds since 1970 that an event may name: of the years 1970 to 9998.
_LATEST: Final = 253_370_764_800.0

#: How a test ends that is a fault of somebody's.
_WRONG: Final = frozenset({"failed", "timeout", "error"})


class Results:
    """Collects the reports of a session. For one thread."""

    def __init__(
        self,
        emit: Callable[..., None],
        attach: Callable[[dict[str, Any]], None],
        clean: Cleaner,
        safe: SafeCalls,
        output: str = "failed",
    ) -> None:
        """Give each result to `emit` (see `Producer.result`) when its test has ended, and then its files to `attach`.

        For `output` see `settings.OUTPUT_POLICIES`. What cannot be described costs a result its details, not itself.
        """
        self._emit = emit
        self._attach = attach
        self._clean = clean
        self._safe = safe
        self._output = output
        self._open: dict[tuple[str, str | None], list[TestReport]] = {}
        self._attempts: dict[str, int] = {}
        self._wrong: set[str] = set()
        self._counted: dict[tuple[str, str | None], list[TestReport]] = {}
        self._metrics: dict[tuple[str, str], dict[str, Any]] = {}
        self._left_out = 0
        self._second = (0, "")

    @property
    def tests(self) -> int:
        """Return how many tests (or modules that could not be collected) have a result."""
        return len(self._attempts)

    @property
    def wrong(self) -> int:
        """Return how many of them are failed, timeout or error in the end."""
        return len(self._wrong)

    @property
    def metrics(self) -> dict[str, Any] | None:
        """Return the data of `metrics.recorded`; None where no test measured anything."""
        if not self._metrics:
            return None
        return {"metrics": list(self._metrics.values()), "left_out": self._left_out}

    def add(self, report: TestReport, node_id: str | None = None) -> None:
        """Take a report of a test's setup, call or teardown, or of what a plugin says about it.

        `node_id` is what the test is called here, where its own name is not its alone.
        """
        when = report.when
        key = (node_id or report.nodeid, _worker(report))
        if when == "setup":
            self._open[key] = [*self._begun(key), report]
            return
        reports = self._open.setdefault(key, [])
        reports.append(report)
        if when == "teardown" or when not in _PHASES:
            del self._open[key]
            self._end(key, reports)

    def is_new(self, node_id: str) -> bool:
        """Tell whether nothing was reported of a test yet."""
        return node_id not in self._attempts and (node_id, None) not in self._open

    def add_passed(self, setup: TestReport, call: TestReport, teardown: TestReport) -> bool:
        """Take all reports of a new test that did nothing but pass: what `add` does, at a fraction of the cost.

        False, and nothing is taken, when its name cannot be published as it is.
        """
        node_id = setup.nodeid
        if "\x00" in node_id or node_name(node_id) != node_id:
            return False
        path, line = _location(setup)
        seconds = (setup.duration, call.duration, teardown.duration)
        self._attempts[node_id] = 1
        self._emit(passed(node_id, setup.start, seconds, path, line), PASSED)
        return True

    def add_collection(self, report: CollectReport) -> None:
        """Take the report of a module or class that could not be collected, or was skipped as a whole."""
        if report.outcome == "passed" or report.nodeid in self._attempts:
            return
        failed = report.outcome == "failed"
        result = self._begin(report.nodeid, "error" if failed else "skipped")
        self._safe.call(self._describe_collection, result, report)
        self._emit(to_json(result))

    def close(self) -> None:
        """Give the tests whose end will not come (the session was interrupted) as far as they had an outcome."""
        for key, reports in self._open.items():
            if any(report.when == "call" or report.outcome != "passed" for report in reports):
                self._end(key, reports)
        self._open.clear()

    def _begun(self, key: tuple[str, str | None]) -> list[TestReport]:
        """Return the reports that a test has before its setup; an attempt that has no other end ends here.

        Of a test that is rerun, pytest-rerunfailures gives the reports when all of them are made, those of its subtests
        come before. Some versions tell of the teardown of an attempt before another, some do not.
        """
        earlier = self._open.pop(key, [])
        mine = len(earlier)
        while mine and _is_subtest(earlier[mine - 1]):
            mine -= 1
        if not mine:
            return earlier
        if earlier[mine - 1].outcome != RERUN:
            mine = len(earlier)
        self._end(key, earlier[:mine])
        return earlier[mine:]

    def _begin(self, node_id: str, outcome: str) -> dict[str, Any]:
        result: dict[str, Any] = {"node_id": node_name(node_id), "outcome": outcome}
        attempt = self._attempts[node_id] = self._attempts.get(node_id, 0) + 1
        if attempt > 1:
            result["attempt"] = attempt
        if outcome in _WRONG:
            self._wrong.add(node_id)
        else:
            self._wrong.discard(node_id)
        return result

    def _end(self, key: tuple[str, str | None], reports: list[TestReport]) -> None:
        """Give the result of an attempt whose last report has come."""
        # A subtest that failed before a rerun is a failure to pytest, whatever the rerun says.
        reports = [*self._counted.pop(key, ()), *reports]
        if any(report.outcome == RERUN for report in reports):
            self._counted[key] = [one for one in reports if _is_subtest(one) and one.outcome == "failed"]
        outcome = _outcome(reports)
        result = self._begin(key[0], outcome)
        recordings: list[dict[str, Any]] = []
        described = self._safe.call(self._described, dict(result), key, reports, recordings)
        self._emit(described or to_json(result | ({"failures": [_UNDESCRIBED]} if outcome in _WRONG else {})))
        self._safe.call(self._attach_files, recordings, result)
        self._safe.call(self._add_metrics, recordings, result["node_id"])

    def _described(
        self, result: dict[str, Any], key: tuple[str, str | None], reports: list[TestReport], carried: list[Any]
    ) -> bytes:
        """Return an attempt's result with all that is known of it; what its test recorded goes to `carried` as well."""
        node_id, worker = key
        main = [report for report in reports if not _is_subtest(report)]
        first = main[0] if main else reports[0]
        result["outcome"], reason, failures = self._verdict(reports)
        phases = {report.when: round(_seconds(report), 6) for report in main if report.when in _PHASES}
        result["started_at"] = self._moment(_start(first))
        result["duration_s"] = round(sum(phases.values()), 6)
        result["phases"] = phases
        result.update(_place(node_id, first))
        if failures:
            result["failures"] = failures
        if reason:
            result["reason"] = reason
        if worker:
            result["worker"] = worker
        known = first.__dict__.get(CARRIED)
        if known:
            self._safe.call(self._add_item, result, known)
        carried += [report.__dict__[CARRIED].pop("said", {}) for report in reports if CARRIED in report.__dict__]
        self._safe.call(result_details.add_recorded, result, carried, self._clean)
        outcome = result["outcome"]
        if self._output == "all" or (self._output == "failed" and outcome not in _QUIET):
            self._safe.call(self._add_output, result, reports)
        return to_json(result)

    def _attach_files(self, carried: list[dict[str, Any]], result: dict[str, Any]) -> None:
        for file in result_details.recorded_files(
            carried, self._clean, node_id=result["node_id"], attempt=result.get("attempt", 1)
        ):
            self._attach(file)

    def _add_metrics(self, carried: list[dict[str, Any]], node_id: str) -> None:
        for metric in result_details.recorded_metrics(carried, self._clean, node_id=node_id):
            key = node_id, metric["name"]
            if key in self._metrics or len(self._metrics) < MAX_METRICS:
                self._metrics[key] = metric
            else:
                self._left_out += 1

    def _describe_collection(self, result: dict[str, Any], report: CollectReport) -> None:
        result["file"] = report.nodeid.partition("::")[0]
        if report.outcome == "failed":
            result["failures"] = [self._failure(report, "collect")]
        else:
            result["reason"] = self._reason(report)

    def _moment(self, seconds: float | None) -> str | None:
        """Return the time as text; the part that is the same for a whole second is made once in that second."""
        if not seconds:
            return None
        whole = int(seconds)
        if whole != self._second[0]:
            self._second = (whole, utc_text(whole)[: -len("000000Z")])
        return f"{self._second[1]}{int((seconds - whole) * 1e6):06d}Z"

    def _add_item(self, result: dict[str, Any], carried: dict[str, Any]) -> None:
        clean = self._clean
        if "parameters" in carried:
            result["parameters"] = {name: clean.named(name, value) for name, value in carried["parameters"].items()}
            result["parameter_indices"] = carried["parameter_indices"]
        if "markers" in carried:
            result["markers"] = [
                {
                    "name": marker["name"],
                    "args": [clean.value(value) for value in marker["args"]],
                    "keywords": {name: clean.named(name, value) for name, value in marker["keywords"].items()},
                }
                for marker in carried["markers"]
            ]
        if "description" in carried:
            result["description"] = clean.message(carried["description"])[:MAX_DESCRIPTION]
        if "suites" in carried:
            result["suites"] = [
                {"node_id": node_name(node_id), "description": clean.message(text)[:MAX_DESCRIPTION]}
                for node_id, text in carried["suites"].items()
            ]

    def _verdict(self, reports: list[TestReport]) -> tuple[str, str | None, list[dict[str, Any]]]:
        """Return outcome, reason and failures of one attempt."""
        outcome, reason = "passed", None
        bad: set[str] = set()
        failures: list[dict[str, Any]] = []
        expected: list[dict[str, Any]] = []
        for report in reports:
            if report.outcome in _BAD:
                if failures and _only_counts(report):
                    continue
                failure = self._failure(report, report.when)
                failures.append(failure)
                bad.add(badness(report, failure))
            elif _is_subtest(report):
                continue
            elif report.outcome == "skipped":
                outcome, reason = "skipped", self._reason(report)
                if hasattr(report, "wasxfail"):
                    outcome = "xfailed"
                    expected.append(self._failure(report, report.when))
            elif hasattr(report, "wasxfail") and report.when == "call":
                outcome, reason = "xpassed", self._reason(report)
        for worst in ("failed", "timeout", "error"):
            if worst in bad:
                # What is wrong comes first: it is what the result is known by.
                return worst, None, bounded([*failures, *expected])
        return outcome, reason, bounded(expected)

    def _failure(self, report: TestReport | CollectReport, phase: str | None) -> dict[str, Any]:
        clean = self._clean
        text = str(report.longrepr) if report.longrepr is not None else ""
        carried = getattr(report, CARRIED, None) or {}
        failure = dict(carried.get("failure") or from_text(text, report, phase))
        if phase not in _PHASES and phase != "collect":
            failure["phase"] = "call"
        failure["message"] = clean.message(failure["message"])
        if "chain" in failure:
            failure["chain"] = [{**cause, "message": clean.message(cause["message"])} for cause in failure["chain"]]
        failure["text"] = clean.text(text)
        return failure

    def _reason(self, report: TestReport | CollectReport) -> str:
        if hasattr(report, "wasxfail"):
            return self._clean.message(str(report.wasxfail).removeprefix("reason: "))
        longrepr = report.longrepr
        recordings = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr or "")
        return self._clean.message(recordings.removeprefix("Skipped: "))

    def _add_output(self, result: dict[str, Any], reports: list[TestReport]) -> None:
        """Add captured output; the last report of a test holds that of all its phases, a subtest's only its own."""
        sources = [report for report in reports if _is_subtest(report) and report.outcome == "failed"]
        sources.append(reports[-1] if not _is_subtest(reports[-1]) else reports[0])
        texts: dict[str, list[str]] = {}
        seen: set[tuple[str, str]] = set()
        recorded = result_details.has_logs(result)
        for report in sources:
            for title, content in report.sections:
                match = _SECTION.match(title)
                if match and content and (title, content) not in seen and not (recorded and match[1] == "log"):
                    seen.add((title, content))
                    texts.setdefault(match[1], []).append(content)
        if texts:
            result["output"] = [
                {"name": name, "text": self._clean.text("\n".join(part.rstrip("\n") for part in parts))}
                for name, parts in texts.items()
            ]


#: What is said of a failure that could not be described.
_UNDESCRIBED: Final = {"phase": "call", "type": "", "message": "testbus could not describe this failure"}


def _location(report: TestReport) -> tuple[str, int]:
    """Return file and line of a test; empty and 0 where they are not known, for a plugin may say anything of these."""
    location = report.location
    if type(location) is not tuple or len(location) < 2:  # noqa: PLR2004 file and line
        return "", 0
    path, line = location[:2]
    if type(path) is not str or "\x00" in path:
        path = ""
    elif os.sep != "/":
        path = path.replace(os.sep, "/")
    return path, line + 1 if type(line) is int and 0 <= line < _MAX_LINE else 0


def _place(node_id: str, report: TestReport) -> dict[str, Any]:
    """Return file, line and code reference of a test, as far as they are known."""
    path, line = _location(report)
    place = {"file": path, "line": line, "code_ref": code_ref(node_id)}
    return {name: value for name, value in place.items() if value}


def _seconds(report: TestReport) -> float:
    """Return how long a phase took: as pytest measured it, or where somebody moved its clock, as we did."""
    timing = report.__dict__.get(CARRIED, {}).get("timing")
    seconds: Any = timing["seconds"] if timing else report.__dict__.get("duration")
    return float(seconds) if type(seconds) in {float, int} and 0.0 <= seconds < _LONGEST_S else 0.0


def _start(report: TestReport) -> float | None:
    """Return when a test began, in seconds since 1970; None when that is not known."""
    known = report.__dict__
    timing = known[CARRIED].get("timing") if CARRIED in known else None
    seconds = timing["start"] if timing else known.get("start")
    return seconds if type(seconds) is float and 0.0 <= seconds < _LATEST else None


def _outcome(reports: list[TestReport]) -> str:
    """Return how an attempt ended, by nothing but the reports' own words: what holds when nothing else can be said."""
    bad = [report for report in reports if report.outcome in _BAD]
    if bad:
        return "failed" if any(report.when == "call" for report in bad) else "error"
    main = [report for report in reports if not _is_subtest(report)]
    if any(report.outcome == "skipped" for report in main):
        return "xfailed" if any("wasxfail" in report.__dict__ for report in main) else "skipped"
    return "xpassed" if any("wasxfail" in report.__dict__ and report.when == "call" for report in main) else "passed"


def is_loud(report: TestReport) -> bool:
    """Tell whether a report makes its test one that did not simply pass, or was skipped."""
    return report.outcome in _BAD or "wasxfail" in report.__dict__


def _worker(report: TestReport) -> str | None:
    known = report.__dict__
    worker: str | None = known.get("worker_id")
    if worker is None and "node" in known:
        worker = report.node.gateway.id
    return worker


def _only_counts(report: TestReport) -> bool:
    """Tell whether a failure says no more than that subtests failed, which have reports of their own."""
    text = report.longrepr
    return text is None or (isinstance(text, str) and _CONTAINS_FAILED.fullmatch(text) is not None)


def _is_subtest(report: TestReport) -> bool:
    """Tell pytest's SubtestReport and pytest-subtests' SubTestReport from reports of tests."""
    return type(report).__name__.lower() == "subtestreport"
