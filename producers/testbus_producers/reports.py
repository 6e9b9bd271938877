"""From pytest's reports to results: one result at the end of each attempt of each test.

pytest reports setup, call and teardown of a test separately, xdist interleaves the reports of several tests, and
plugins add reports of their own (subtests, reruns, crashes of a worker). The rules here give test for test what
pytest's own JUnit XML says of the same session.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from pytest import TestReport  # noqa: PT013 a class to compare with

from testbus_producers import said
from testbus_producers.context import utc_text
from testbus_producers.events import to_json
from testbus_producers.report_failures import badness, bounded, from_text
from testbus_producers.text import node_name
from testbus_schemas.wire import MAX_DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest import CollectReport  # noqa: PT013 only a name for annotations

    from testbus_producers.text import Cleaner

#: Attribute by which the process that runs a test hands on what only it knows; plain data, so that xdist carries it.
CARRIED: Final = "testbus"

#: What pytest says of a test whose subtests failed.
_CONTAINS_FAILED = re.compile(r"contains \d+ failed subtests?")

_PHASES: Final = frozenset({"setup", "call", "teardown"})

#: Outcome that pytest-rerunfailures gives the reports of an attempt that is followed by another.
RERUN: Final[str] = "rerun"

#: Outcomes whose captured output nobody asks for.
_QUIET: Final = frozenset({"passed", "skipped"})

_BAD: Final = frozenset({"failed", RERUN})

#: A string as JSON.
_quoted: Final = json.encoder.encode_basestring

_SECTION = re.compile(r"Captured (stdout|stderr|log)\b")


class Results:
    """Collects the reports of a session. For one thread."""

    def __init__(
        self,
        emit: Callable[[bytes], None],
        attach: Callable[[dict[str, Any]], None],
        clean: Cleaner,
        output: str = "failed",
    ) -> None:
        """Give each result to `emit`, as JSON, when its test has ended, and then its files to `attach`.

        For `output` see `settings.OUTPUT_POLICIES`.
        """
        self._emit = emit
        self._attach = attach
        self._clean = clean
        self._output = output
        self._open: dict[tuple[str, str | None], list[TestReport]] = {}
        self._attempts: dict[str, int] = {}
        self._second = (0, "")

    def add(self, report: TestReport) -> None:
        """Take a report of a test's setup, call or teardown, or of what a plugin says about it."""
        when = report.when
        key = (report.nodeid, _worker(report))
        if when == "setup":
            if key in self._open:
                # The attempt before this one: some versions of pytest-rerunfailures tell of its teardown, some do not.
                self._end(key, self._open.pop(key))
            self._open[key] = [report]
            return
        reports = self._open.setdefault(key, [])
        reports.append(report)
        if when == "teardown" or when not in _PHASES:
            del self._open[key]
            self._end(key, reports)

    def add_collection(self, report: CollectReport) -> None:
        """Take the report of a module or class that could not be collected, or was skipped as a whole."""
        if report.outcome == "passed" or report.nodeid in self._attempts:
            return
        failed = report.outcome == "failed"
        result = self._begin(report.nodeid, "error" if failed else "skipped")
        result["file"] = report.nodeid.partition("::")[0]
        if failed:
            result["failures"] = [self._failure(report, "collect")]
        else:
            result["reason"] = self._reason(report)
        self._emit(to_json(result))

    def close(self) -> None:
        """Give the tests whose end will not come (the session was interrupted) as far as they had an outcome."""
        for key, reports in self._open.items():
            if any(report.when == "call" or report.outcome != "passed" for report in reports):
                self._end(key, reports)
        self._open.clear()

    def _begin(self, node_id: str, outcome: str) -> dict[str, Any]:
        result: dict[str, Any] = {"node_id": node_name(node_id), "outcome": outcome}
        attempt = self._attempts[node_id] = self._attempts.get(node_id, 0) + 1
        if attempt > 1:
            result["attempt"] = attempt
        return result

    def _end(self, key: tuple[str, str | None], reports: list[TestReport]) -> None:
        """Give the result of an attempt whose last report has come."""
        if self._is_plain(key, reports):
            self._emit(self._plain(key[0], *reports))
            return
        node_id, worker = key
        first = reports[0]
        main = [report for report in reports if not _is_subtest(report)]
        outcome, reason, failures = self._verdict(reports)
        phases = {report.when: round(report.duration, 6) for report in main if report.when in _PHASES}
        result = self._begin(node_id, outcome)
        result["started_at"] = self._moment(first.__dict__.get("start"))
        result["duration_s"] = round(sum(phases.values()), 6)
        result["phases"] = phases
        result.update(_place(node_id, first))
        if failures:
            result["failures"] = failures
        if reason:
            result["reason"] = reason
        if worker:
            result["worker"] = worker
        carried = first.__dict__.get(CARRIED)
        if carried:
            self._add_item(result, carried)
        told = [report.__dict__[CARRIED].pop("said", {}) for report in reports if CARRIED in report.__dict__]
        said.add(result, told, self._clean)
        if self._output == "all" or (self._output == "failed" and outcome not in _QUIET):
            self._add_output(result, reports)
        self._emit(to_json(result))
        for file in said.files(told, self._clean, node_id=result["node_id"], attempt=result.get("attempt", 1)):
            self._attach(file)

    def _is_plain(self, key: tuple[str, str | None], reports: list[TestReport]) -> bool:
        """Tell whether a test did nothing but pass: then its phases' durations are all there is to say."""
        if len(reports) != len(_PHASES) or key[1] or key[0] in self._attempts or self._output == "all":
            return False
        for report in reports:
            known = report.__dict__
            if report.outcome != "passed" or "wasxfail" in known or CARRIED in known or type(report) is not TestReport:
                return False
        return True

    def _plain(self, node_id: str, setup: TestReport, call: TestReport, teardown: TestReport) -> bytes:
        """Return what `to_json` would, for the many tests of which little is said: made in one go, in half the time."""
        self._attempts[node_id] = 1
        place = _place(node_id, setup)
        first, second, third = setup.duration, call.duration, teardown.duration
        moment = self._moment(setup.__dict__.get("start"))
        return (
            f'{{"node_id":{_quoted(node_name(node_id))},"outcome":"passed",'
            f'"started_at":{_quoted(moment) if moment else "null"},"duration_s":{first + second + third:.6f},'
            f'"phases":{{"setup":{first:.6f},"call":{second:.6f},"teardown":{third:.6f}}},'
            f'"file":{_quoted(place["file"])},"line":{place.get("line", "null")},'
            f'"code_ref":{_quoted(place["code_ref"]) if "code_ref" in place else "null"}}}'
        ).encode("utf-8", "replace")

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
                if failures and isinstance(report.longrepr, str) and _CONTAINS_FAILED.fullmatch(report.longrepr):
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
        said = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr or "")
        return self._clean.message(said.removeprefix("Skipped: "))

    def _add_output(self, result: dict[str, Any], reports: list[TestReport]) -> None:
        """Add captured output; the last report of a test holds that of all its phases, a subtest's only its own."""
        sources = [report for report in reports if _is_subtest(report) and report.outcome == "failed"]
        sources.append(reports[-1] if not _is_subtest(reports[-1]) else reports[0])
        texts: dict[str, list[str]] = {}
        seen: set[tuple[str, str]] = set()
        recorded = said.has_logs(result)
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


def _place(node_id: str, report: TestReport) -> dict[str, Any]:
    """Return file, line and code reference of a test, as far as they are known."""
    path, line, _ = report.location
    place: dict[str, Any] = {"file": path if os.sep == "/" else path.replace(os.sep, "/")}
    if line is not None:
        place["line"] = line + 1
    module, separator, names = node_id.partition("::")
    if separator:
        names = names.partition("[")[0]
        place["code_ref"] = f"{module}:{names.replace('::', '.')}"
    return place


def is_loud(report: TestReport) -> bool:
    """Tell whether a report makes its test one that did not simply pass, or was skipped."""
    return report.outcome in _BAD or hasattr(report, "wasxfail")


def _worker(report: TestReport) -> str | None:
    known = report.__dict__
    worker: str | None = known.get("worker_id")
    if worker is None and "node" in known:
        worker = report.node.gateway.id
    return worker


def _is_subtest(report: TestReport) -> bool:
    """Tell pytest's SubtestReport and pytest-subtests' SubTestReport from reports of tests."""
    return type(report).__name__.lower() == "subtestreport"
