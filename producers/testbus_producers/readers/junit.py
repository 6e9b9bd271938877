"""JUnit XML, as any tool writes it: one result for each attempt of each test."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import events
from testbus_producers.context import utc_text
from testbus_producers.readers import failing, times
from testbus_producers.readers.attachments import artifact
from testbus_producers.readers.markup import Sign
from testbus_producers.readers.naming import Case, Suite, flavour_of
from testbus_producers.readers.output import Printed
from testbus_producers.readers.records import Record
from testbus_producers.text import node_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.readers.markup import Element
    from testbus_producers.readers.naming import Flavour, Name
    from testbus_producers.readers.records import How, Report

#: Elements that are read whole.
KEEP: Final = frozenset({"testcase", "properties"})

#: Names of the document's outermost element.
ROOTS: Final = frozenset({"testsuites", "testsuite"})

#: An earlier attempt, of a test that passed in the end, or that failed again (Surefire, Gradle, nextest).
_EARLIER: Final = frozenset({"flakyFailure", "flakyError"})
_LATER: Final = frozenset({"rerunFailure", "rerunError"})

_BAD: Final = frozenset({"failed", "error", "timeout"})

#: Bound of the failures of one result, and of the properties of one test.
_MAX_FAILURES: Final = 10
_MAX_PROPERTIES: Final = 50

#: What CTest says of a test that it could not start: skipped, and yet nobody wanted that.
_NOT_STARTED = re.compile(r"(?i)unable to find executable|could not find|required files|bad_command|failed to start")

#: How pytest says that a test's teardown failed after the test itself had: in an entry of its own.
_TEARDOWN: Final = "failed on teardown with"


class JUnitReader:
    """Reads one report."""

    def __init__(self, how: How, report: Report) -> None:
        """Read as `how` says, and tell `report` what it is."""
        self._how = how
        self._report = report
        self._root: Element | None = None
        self._suites: list[Suite] = []
        self._flavour: Flavour | None = None
        self._seen: dict[bytes, int] = {}
        self._held: list[Record] = []

    def records(self, parts: Iterator[tuple[Sign, Element]]) -> Iterator[Record]:
        """Yield results and attachments while the report is read. Raises ReportError."""
        for sign, element in parts:
            if sign is Sign.WHOLE:
                if element.tag == "testcase" and self._root is not None:
                    yield from self._case(element, self._root)
                elif self._suites:
                    self._suites[-1].properties.update(one.get("name") for one in element.named("property"))
                continue
            if sign is Sign.START and self._root is None:
                self._root = element
            if element.tag == "testsuite":
                self._suite(sign, element)
        yield from self._held
        self._report.tool = self._report.tool or "junit"

    def _suite(self, sign: Sign, element: Element) -> None:
        self._flavour = None
        if sign is Sign.START:
            around = set(self._suites[-1].properties) if self._suites else set()
            self._suites.append(Suite(element=element, properties=around))
        elif self._suites:
            self._suites.pop()

    def _case(self, element: Element, root: Element) -> Iterator[Record]:
        case = Case(element=element, root=root, suites=tuple(self._suites))
        flavour = self._flavour = self._flavour or flavour_of(case)
        self._report.tool = self._report.tool or flavour.tool
        if self._is_teardown(case, flavour, root):
            return
        yield from self._held
        name = flavour.name(case, self._how.root)
        node_id = self._unique(name.node_id)
        spent = times.seconds(element.get("time"), thousands=flavour.thousands)
        began = self._began(case, flavour)
        for suite in self._suites:
            suite.elapsed += spent
        if began is not None:
            self._report.saw(began, spent)
        self._held = list(self._attempts(case, name._replace(node_id=node_id), began, spent))

    def _attempts(self, case: Case, name: Name, began: float | None, spent: float) -> Iterator[Record]:
        """Yield each attempt of a test: those before the one that counts, itself, and those that failed after it."""
        children = case.element.children
        earlier = [child for child in children if child.tag in _EARLIER]
        later = [child for child in children if child.tag in _LATER]
        for number, child in enumerate(earlier, 1):
            yield self._again(case, name, child, number)
        printed = Printed(children)
        result = self._begin(name, len(earlier) + 1)
        if began is not None:
            result["started_at"] = utc_text(began)
        result["duration_s"] = spent
        result |= self._verdict(case, printed)
        result |= self._told(case)
        self._add_output(result, printed)
        yield Record(events.RESULT, result)
        for path in printed.attachments:
            yield Record(events.ARTIFACT, self._artifact(path, name, result.get("attempt", 1)))
        for number, child in enumerate(later, len(earlier) + 2):
            yield self._again(case, name, child, number)

    def _artifact(self, path: str, name: Name, attempt: int) -> dict[str, Any]:
        folder = self._report.path.absolute().parent
        return artifact(path, self._how, folder, node_id=name.node_id, attempt=attempt)

    def _again(self, case: Case, name: Name, element: Element, attempt: int) -> Record:
        """Return the result of an attempt that is told of inside of another."""
        result = self._begin(name, attempt)
        result["duration_s"] = times.seconds(element.get("time"))
        result |= self._bad([element], case, Printed(element.children))
        self._add_output(result, Printed(element.children))
        return Record(events.RESULT, result)

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
        element = case.element
        bad = element.named("failure", "error")
        if bad:
            return self._bad(bad, case, printed)
        skipped = element.named("skipped", "ignored", "disabled")
        if skipped:
            reason = skipped[0].get("message") or skipped[0].text.strip()
            if element.get("status") == "notrun" and _NOT_STARTED.search(reason):
                failure = {"phase": "setup", "type": "NotRun", "message": self._how.clean.message(reason), "text": ""}
                return {"outcome": "error", "failures": [failure]}
            outcome = "xfailed" if skipped[0].get("type") == "pytest.xfail" else "skipped"
            return {"outcome": outcome} | ({"reason": self._reason(reason)} if reason else {})
        if element.get("status") in {"disabled", "notrun", "skipped"}:
            return {"outcome": "skipped", "reason": "disabled"}
        return {"outcome": "passed"}

    def _bad(self, elements: list[Element], case: Case, printed: Printed) -> dict[str, Any]:
        own = (case.name, f"{case.element.get('class') or case.scope}::{case.name}")
        fallback = printed.last_line or f"{case.name} failed"
        outcomes: set[str] = set()
        failures = []
        for element in elements[:_MAX_FAILURES]:
            failure = failing.failure(element, own, fallback, self._how.clean)
            failures.append(failure)
            if failing.timed_out(failure, element.get("type")):
                outcomes.add("timeout")
            else:
                outcomes.add("error" if element.tag.lower().endswith("error") else "failed")
        outcome = next(word for word in ("failed", "timeout", "error") if word in outcomes)
        return {"outcome": outcome, "failures": failures}

    def _told(self, case: Case) -> dict[str, Any]:
        """Return line and markers."""
        told: dict[str, Any] = {}
        line = case.element.get("line")
        if line.isdecimal() and len(line) < 8:  # noqa: PLR2004 a line of more digits is no line
            # pytest counts from 0, everybody else from 1.
            told["line"] = max(1, int(line) + (self._report.tool == "pytest"))
        clean = self._how.clean
        markers = [
            {"name": clean.value(one.get("name"))}
            | ({"args": [clean.named(one.get("name"), one.get("value"))]} if one.get("value") else {})
            for holder in case.element.named("properties")
            for one in holder.named("property")[:_MAX_PROPERTIES]
            if one.get("name")
        ]
        if markers:
            told["markers"] = markers
        return told

    def _add_output(self, result: dict[str, Any], printed: Printed) -> None:
        if self._how.output == "all" or (self._how.output == "failed" and result["outcome"] in _BAD):
            output = printed.as_json(self._how.clean)
            if output:
                result["output"] = output

    def _reason(self, text: str) -> str:
        lines = text.splitlines()
        framed = [line for line in lines if not line.startswith(("=== ", "--- "))]
        return self._how.clean.message(failing.without_place("\n".join(framed)).strip())

    def _began(self, case: Case, flavour: Flavour) -> float | None:
        """Return when a test began: as it says, else from its suite's beginning and the tests before it."""
        own = times.moment(case.element.get("timestamp"), utc=flavour.utc)
        if own is not None:
            return own
        for suite in reversed(self._suites):
            start = times.moment(suite.element.get("timestamp"), utc=flavour.utc)
            if start is not None:
                return start + suite.elapsed
        return None

    def _is_teardown(self, case: Case, flavour: Flavour, root: Element) -> bool:
        """Add a failed teardown to the test before, whose second entry this is; tell whether it was one."""
        errors = case.element.named("error")
        if flavour.tool != "pytest" or not errors or not errors[0].get("message").startswith(_TEARDOWN):
            return False
        name = flavour.name(case, self._how.root)
        result = self._held[-1].data if self._held else {}
        if result.get("node_id", "").partition("#")[0] != node_name(name.node_id).partition("#")[0]:
            return False
        added = self._bad(errors, case, Printed(case.element.children))
        result["failures"] = [*result.get("failures", ()), *added["failures"]]
        result["outcome"] = result["outcome"] if result["outcome"] in _BAD else added["outcome"]
        self._add_output(result, Printed(case.element.children))
        return root is self._root

    def _unique(self, node_id: str) -> str:
        """Return the name, with `#2`, `#3`, … for a test that is not the first of its name."""
        name = node_name(node_id)
        # Only a digest of each is remembered: a large report has many.
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        return name if count == 1 else node_name(f"{name}#{count}")
