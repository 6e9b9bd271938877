"""JUnit XML, as any tool writes it: one result for each attempt of each test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.context.run_context import utc_text
from testbus_producers.redaction.cleaner import node_name
from testbus_producers.report_files import junit_failures, outline, xml_stream
from testbus_producers.report_files.attachments import artifact
from testbus_producers.report_files.junit_failures import Printed
from testbus_producers.report_files.junit_flavours import Name, Position
from testbus_producers.report_files.outline import Entry, Outline
from testbus_producers.report_files.records import ReportRecord
from testbus_producers.report_files.xml_stream import Sign
from testbus_producers.spool import event_builder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from testbus_producers.report_files.junit_flavours import Case, Flavour, Suite
    from testbus_producers.report_files.records import How, ReportFile
    from testbus_producers.report_files.xml_stream import Element

#: Instants outside of these years are a tool's way to say that it does not know (GoogleTest: 1970).
_YEARS: Final = range(1971, 9998)

#: Seconds above which a duration is none that makes sense: ten years.
_MOST_S: Final = 10 * 366 * 86400

#: The end of those years, in seconds since 1970.
LATEST: Final = datetime(_YEARS.stop, 1, 1, tzinfo=UTC).timestamp()

#: Seconds of each unit by which durations are written.
_UNITS: Final = {
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds"), 1e-9),
}

#: `1:02:03.5`, `02:03`, and .NET's `1.02:03:04.5`, whose first number is days.
_CLOCK = re.compile(r"(?:(\d+)\.)?(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")

#: `PT1H2M3.5S` (ISO 8601).
_ISO = re.compile(r"(?i)P(?:([\d.,]+)D)?(?:T(?:([\d.,]+)H)?(?:([\d.,]+)M)?(?:([\d.,]+)S)?)?")

#: `12 ms`, `1m2.5s`, `2 min 3 s`.
_MEASURE = re.compile(r"([\d.,]+) ?([a-zA-Zµμ]+)")

#: `20 Nov 2026 13:01:11 GMT`, with a day of the week or without (RFC 1123; TestNG).
_RFC_1123 = re.compile(r"(?:[A-Za-z]{3},? )?\d{1,2} [A-Za-z]{3} \d{4} ")


def seconds(text: str | None, *, thousands: bool = False) -> float:
    """Return a duration in seconds; 0 when there is none, or none that makes sense.

    A number alone is seconds; `1:02:03`, `PT1.5S`, `12ms` and `1m2s` are read, too. `1,234.5` and `1.234,5` have
    separators of thousands. Of a comma alone, `thousands` tells what it is: Surefire writes `1,234` for twenty minutes,
    others write `0,5` for half a second.
    """
    plain = (text or "").strip()
    value = _number(plain, thousands=thousands)
    if value is None:
        value = _parts(plain)
    return round(value, 6) if value is not None and 0 < value <= _MOST_S else 0.0


def moment(text: str | None, *, zone: tzinfo | None = None) -> float | None:
    """Return an instant in ISO 8601 or RFC 1123 in seconds since 1970, None when it is none.

    Without a zone of its own it is in `zone`, else this machine's time.
    """
    plain = (text or "").strip()
    try:
        read = parsedate_to_datetime(plain) if _RFC_1123.match(plain) else datetime.fromisoformat(plain)
        if read.year not in _YEARS:
            return None
        if read.tzinfo is None and zone is not None:
            read = read.replace(tzinfo=zone)
        return read.timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _number(text: str, *, thousands: bool) -> float | None:
    plain = text.replace("\xa0", "").replace(" ", "").replace("'", "")
    comma, dot = plain.rfind(","), plain.rfind(".")
    if comma >= 0:
        grouped = dot > comma or (dot < 0 and (thousands or plain.count(",") > 1))
        plain = plain.replace(",", "") if grouped else plain.replace(".", "").replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        return None


def _parts(text: str) -> float | None:
    """Return the sum of a duration's parts; None when it has none."""
    match = _CLOCK.fullmatch(text) or _ISO.fullmatch(text)
    if match and any(match.groups()):
        fields = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
        return sum((_number(value, thousands=False) or 0.0) * unit for value, unit in fields if value)
    if not _MEASURE.sub("", text).strip(" ,") and text:
        parts = [(_number(value, thousands=False), _UNITS.get(unit.lower())) for value, unit in _MEASURE.findall(text)]
        if parts and all(value is not None and unit is not None for value, unit in parts):
            return sum((value or 0.0) * (unit or 0.0) for value, unit in parts)
    return None


#: Elements that are read whole. A failure beside tests is a suite's own.
KEEP: Final = frozenset({"testcase", "properties", "failure", "error"})

_BAD: Final = frozenset({"failed", "error", "timeout"})

#: Bound of the failures of one result, and of the properties of one test.
_MAX_FAILURES: Final = 10
_MAX_PROPERTIES: Final = 50

#: Bound of the failures that a suite's totals say and nothing shows, one result each.
_MAX_UNSEEN: Final = 1000

#: What CTest says of a test that it could not start: skipped, and yet nobody wanted that.
_NOT_STARTED = re.compile(r"(?i)unable to find executable|could not find|required files|bad_command|failed to start")


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """An entry of a test, and what its attempts have in common."""

    #: The entry.
    case: Case
    #: What wrote it.
    flavour: Flavour
    #: What it is called, as it is published.
    name: Name
    #: Which test and attempt it is.
    entry: Entry
    #: When the attempt that counts began, in seconds since 1970; None when nothing says.
    began: float | None
    #: Seconds that it took.
    spent: float


class JUnitReader:
    """Reads one report."""

    def __init__(self, how: How, report: ReportFile) -> None:
        """Read as `how` says, and tell `report` what it is."""
        self._how = how
        self._report = report
        self._outline = Outline()
        self._position = Position()
        self._own: list[list[Element]] = []
        self._seen: dict[bytes, int] = {}
        self._held: list[ReportRecord] = []

    def records(self) -> Iterator[ReportRecord]:
        """Yield results and attachments while the report is read for the second time. Raises ReportError."""
        self._outline = outline.read(xml_stream.parse(self._report.path, keep=KEEP, texts=False), self._how.root)
        for sign, element in xml_stream.parse(self._report.path, keep=KEEP):
            if sign is Sign.START:
                self._position.start(element)
                self._own += [[] for _ in self._position.suites[len(self._own) :]]
            elif sign is Sign.END:
                yield from self._end(element)
            elif element.tag == "testcase":
                yield from self._case(element)
            elif element.tag == "properties":
                self._position.describe(element)
            else:
                self._own[-1].append(element)
        yield from self._held
        self._report.tool = self._report.tool or "junit"

    def _end(self, element: Element) -> Iterator[ReportRecord]:
        """Yield what a suite says of itself: a failure beside its tests, and failures that only its totals know."""
        name = self._position.name or self._report.path.name
        suite = self._position.end(element)
        if suite is None:
            return
        yield from self._held
        self._held = []
        own = self._own.pop()
        unseen = self._outline.unseen.get(suite.number, 0)
        if own:
            yield self._of_suite(name, suite, self._failures(own, (name,), f"{name} failed"))
        for _ in range(min(unseen, _MAX_UNSEEN)):
            counts = ", ".join(f"{key}={suite.element.get(key)!r}" for key in ("errors", "failures"))
            message = f"the report counts more failures than it shows ({counts}): look into the output of the tool"
            failure = {"phase": "collect", "type": "", "message": self._how.clean.message(message), "text": ""}
            yield self._of_suite(name, suite, {"outcome": "error", "failures": [failure]})

    def _of_suite(self, name: str, suite: Suite, ending: dict[str, Any]) -> ReportRecord:
        result = self._begin(Name(self._numbered(name)), 1) | ending
        for failure in result["failures"]:
            failure["phase"] = "collect"
        began = moment(suite.element.get("timestamp"), zone=self._how.zone)
        if began is not None:
            self._report.saw(began, 0.0)
            result["started_at"] = utc_text(began)
        return ReportRecord(event_builder.RESULT, result)

    def _case(self, element: Element) -> Iterator[ReportRecord]:
        case, flavour = self._position.case(element)
        self._report.tool = self._report.tool or flavour.tool
        if flavour.tool == "pytest" and outline.is_teardown(element) and self._add_teardown(case, flavour):
            return
        yield from self._held
        name = flavour.name(case, self._how.root)
        spent = seconds(element.get("time"), thousands=flavour.thousands)
        began = self._began(case, flavour)
        for suite in self._position.suites:
            suite.elapsed += spent
        if began is not None:
            self._report.saw(began, spent)
        entry = self._entry(name.node_id, flavour)
        node_id = name.node_id if entry.test == 1 else f"{name.node_id}#{entry.test}"
        named = name._replace(node_id=node_name(node_id))
        tried = _Tried(case=case, flavour=flavour, name=named, entry=entry, began=began, spent=spent)
        self._held = list(self._attempts(tried))

    def _entry(self, node_id: str, flavour: Flavour) -> Entry:
        """Return which test and attempt an entry of this name is."""
        digest = outline.digest_of(node_id)
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        entries = self._outline.entries(node_id, flavour)
        return entries[count - 1] if count <= len(entries) else Entry(count, 1)

    def _numbered(self, node_id: str) -> str:
        """Return a suite's name, with `#2`, `#3`, … where it is not the first result of that name."""
        digest = outline.digest_of(node_id)
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        return node_name(node_id if count == 1 else f"{node_id}#{count}")

    def _attempts(self, tried: _Tried) -> Iterator[ReportRecord]:
        """Yield each attempt of an entry: those before the one that counts, itself, and those that failed after it."""
        number = tried.entry.attempt
        for child in tried.case.element.named(*outline.EARLIER):
            yield from self._again(tried, child, number)
            number += 1
        printed = Printed(tried.case.element.children)
        result = self._begin(tried.name, number)
        if tried.began is not None:
            result["started_at"] = utc_text(tried.began)
        result["duration_s"] = tried.spent
        result |= _unseen_failure() if tried.entry.failed_unseen else self._verdict(tried.case, printed)
        result |= self._details(tried.case)
        self._add_output(result, printed)
        yield ReportRecord(event_builder.RESULT, result)
        for path in printed.attachments:
            yield ReportRecord(event_builder.ARTIFACT, self._artifact(path, tried.name, number))
        for child in tried.case.element.named(*outline.LATER):
            number += 1
            yield from self._again(tried, child, number)

    def _artifact(self, path: str, name: Name, attempt: int) -> dict[str, Any]:
        folder = self._report.path.absolute().parent
        return artifact(path, self._how, folder, node_id=name.node_id, attempt=attempt)

    def _again(self, tried: _Tried, element: Element, attempt: int) -> Iterator[ReportRecord]:
        """Yield what is said of an attempt inside of another."""
        printed = Printed(element.children)
        result = self._begin(tried.name, attempt)
        began = self._moment(element, tried.flavour)
        if began is not None:
            result["started_at"] = utc_text(began)
        result["duration_s"] = seconds(element.get("time"), thousands=tried.flavour.thousands)
        result |= self._bad([element], tried.case, printed)
        self._add_output(result, printed)
        yield ReportRecord(event_builder.RESULT, result)
        for path in printed.attachments:
            yield ReportRecord(event_builder.ARTIFACT, self._artifact(path, tried.name, attempt))

    def _begin(self, name: Name, attempt: int) -> dict[str, Any]:
        result: dict[str, Any] = {"node_id": name.node_id}
        if attempt > 1:
            result["attempt"] = attempt
        if name.file:
            result["file"] = name.file
        if name.code_ref:
            result["code_ref"] = name.code_ref
        if name.parameters:
            result["parameters"] = {key: self._how.clean.named(key, text) for key, text in name.parameters.items()}
        return result

    def _verdict(self, case: Case, printed: Printed) -> dict[str, Any]:
        """Return outcome, and failures or reason."""
        bad = outline.failures_of(case.element)
        skipped = case.element.named(*outline.SKIPS)
        if bad:
            ending = self._bad(bad, case, printed)
            counted = any(suite.number in self._outline.counting_both for suite in self._position.suites)
            if skipped and not counted:
                # Expected to fail (Node's todo, Catch2's !shouldfail): the tool is content with it.
                ending |= {"outcome": "xfailed"} | self._reason(skipped[0])
            return ending
        return self._skipped(case.element, skipped[0]) if skipped else self._of_state(case.element, printed)

    def _skipped(self, case: Element, skipped: Element) -> dict[str, Any]:
        reason = self._reason(skipped)
        if case.get("status") == "notrun" and _NOT_STARTED.search(reason.get("reason", "")):
            failure = {"phase": "setup", "type": "NotRun", "message": reason["reason"], "text": ""}
            return {"outcome": "error", "failures": [failure]}
        return {"outcome": "xfailed" if skipped.get("type") == "pytest.xfail" else "skipped"} | reason

    def _of_state(self, case: Element, printed: Printed) -> dict[str, Any]:
        """Return how a test ended by its attributes, where no element says it."""
        state = outline.state_of(case)
        if not state:
            return {"outcome": "passed"}
        if state == "skipped":
            return {"outcome": "skipped", "reason": "disabled"}
        word = case.get("status") or case.get("result") or "failed"
        message = printed.last_line or f"the report says {word!r}, and no more"
        failure = {"phase": "call", "type": "", "message": self._how.clean.message(message), "text": ""}
        return {"outcome": state, "failures": [failure]}

    def _bad(self, elements: list[Element], case: Case, printed: Printed) -> dict[str, Any]:
        """Return outcome and failures of a test with these elements."""
        own = (case.name, f"{case.element.get('class') or case.scope}::{case.name}")
        return self._failures(elements, own, printed.last_line or f"{case.name} failed")

    def _failures(self, elements: list[Element], own_names: tuple[str, ...], fallback: str) -> dict[str, Any]:
        outcomes: set[str] = set()
        failures = []
        for element in elements[:_MAX_FAILURES]:
            failure = junit_failures.failure(element, own_names, fallback, self._how.clean)
            failures.append(failure)
            if element.tag == "timeout" or junit_failures.timed_out(failure, element.get("type")):
                outcomes.add("timeout")
            else:
                outcomes.add("error" if element.tag.lower().endswith("error") else "failed")
        outcome = next(word for word in ("failed", "timeout", "error") if word in outcomes)
        return {"outcome": outcome, "failures": failures}

    def _details(self, case: Case) -> dict[str, Any]:
        """Return line and markers."""
        details: dict[str, Any] = {}
        line = case.element.get("line")
        if line.isdecimal() and len(line) < 8:  # noqa: PLR2004 a line of more digits is no line
            # pytest counts from 0, everybody else from 1.
            details["line"] = max(1, int(line) + (self._report.tool == "pytest"))
        clean = self._how.clean
        markers = [
            {"name": clean.value(one.get("name"))}
            | ({"args": [clean.named(one.get("name"), one.get("value"))]} if one.get("value") else {})
            for holder in case.element.named("properties")
            for one in holder.named("property")[:_MAX_PROPERTIES]
            if one.get("name")
        ]
        if markers:
            details["markers"] = markers
        return details

    def _add_output(self, result: dict[str, Any], printed: Printed) -> None:
        if self._how.output == "all" or (self._how.output == "failed" and result["outcome"] in _BAD):
            output = printed.as_json(self._how.clean)
            if output:
                result["output"] = output

    def _reason(self, skipped: Element) -> dict[str, Any]:
        """Return why a test was skipped, where the report says so."""
        lines = (skipped.get("message") or skipped.text.strip()).splitlines()
        framed = [line for line in lines if not line.startswith(("=== ", "--- "))]
        reason = self._how.clean.message(junit_failures.without_place("\n".join(framed)).strip())
        return {"reason": reason} if reason else {}

    def _began(self, case: Case, flavour: Flavour) -> float | None:
        """Return when a test began: as it says, else from its suite's beginning and the tests before it."""
        own = self._moment(case.element, flavour)
        if own is not None:
            return own
        for suite in reversed(self._position.suites):
            start = self._moment(suite.element, flavour)
            if start is not None:
                return start + suite.elapsed if start + suite.elapsed < LATEST else None
        return None

    def _moment(self, element: Element, flavour: Flavour) -> float | None:
        return moment(element.get("timestamp"), zone=self._how.zone or (UTC if flavour.utc else None))

    def _add_teardown(self, case: Case, flavour: Flavour) -> bool:
        """Add a failed teardown to the test before, if this is a second entry of that; tell whether it is."""
        name = flavour.name(case, self._how.root)
        result: dict[str, Any] = next(
            (record.data for record in reversed(self._held) if record.kind == event_builder.RESULT), {}
        )
        if result.get("node_id", "").partition("#")[0] != node_name(name.node_id).partition("#")[0]:
            return False
        printed = Printed(case.element.children)
        added = self._bad(case.element.named("error"), case, printed)
        result["failures"] = [*result.get("failures", ()), *added["failures"]]
        result["outcome"] = result["outcome"] if result["outcome"] in _BAD else added["outcome"]
        self._add_output(result, printed)
        return True


def _unseen_failure() -> dict[str, Any]:
    message = "it failed and was run again; the report does not say why"
    return {"outcome": "failed", "failures": [{"phase": "call", "type": "", "message": message, "text": ""}]}
