"""What a first reading of a JUnit report finds, and the second has to know before it comes to a test.

A test that stands in a report several times was tried again, or is several tests: what follows it tells. What an entry
with both a failure and a skip is, and whether a suite has failures that no entry shows, its totals tell.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_producers.redaction.cleaner import node_name
from testbus_producers.report_files.junit_flavours import Position
from testbus_producers.report_files.xml_stream import Sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_producers.report_files.junit_flavours import Flavour
    from testbus_producers.report_files.xml_stream import Element

#: Elements by which a test failed.
FAILURES: Final = ("failure", "error", "failed", "fail", "timeout")

#: Elements by which it did not run, or was expected to fail.
SKIPS: Final = ("skipped", "ignored", "disabled")

#: An earlier attempt, of a test that passed in the end, or that failed again (Surefire, Gradle, nextest).
EARLIER: Final = ("flakyFailure", "flakyError")
LATER: Final = ("rerunFailure", "rerunError")

#: Attributes by which a tool says that an entry is not a test's first, with what they are at the first.
_REPEATED: Final = {"attempt": "1", "retry": "0", "rerun": "0"}

#: States that are none of these say that a test failed; the attribute is `status`, or `result` (xUnit.net, QtTest).
_BAD_STATE = re.compile(
    r"(?i)fail(ed|ure|ing)?|ko|broken|bad|xpass(ed)?|error(ed|s)?|crash(ed)?|abort(ed)?|exception|killed|interrupted|"
    r"unresolved|(test ?)?time(d)?[ _-]?out|incomplete|unfinished"
)

#: States that say that it did not run.
_SKIPPED_STATE = re.compile(r"(?i)disabled|not[ _-]?run|not[ _-]?executed|skip(ped)?|ignored?|pending|suppressed|todo")

#: How pytest says that a test's teardown failed after the test itself had: in an entry of its own.
TEARDOWN: Final = "failed on teardown with"

#: Tools of which a test that was skipped and then runs was tried again (TestNG), and that repeat no other names.
_SKIP_RETRIES: Final = frozenset({"junit", "ant", "gradle", "surefire"})


class Entry(NamedTuple):
    """What one of the entries of a name is."""

    #: Number of the test among those of its name, from 1.
    test: int
    #: Number of the attempt at that test, from 1.
    attempt: int
    #: Whether the report shows nothing of a failure after which the test was tried again (pytest-rerunfailures).
    failed_unseen: bool = False


@dataclass(kw_only=True)
class _Tally:
    """Counts of one suite, with those inside of it."""

    #: Errors and failures that it says it has.
    declared: tuple[int, int]
    #: Tests that it says it has, of itself.
    tests: str
    #: Elements that tell of a failure, in tests that were not skipped, and beside tests.
    plain: int = 0
    #: Those in tests that were skipped, too.
    both: int = 0
    #: Entries of tests directly in it.
    entries: int = 0


@dataclass(kw_only=True)
class Outline:
    """What was found."""

    #: Digest of a name → how its entries ended, in their order; only of names with several.
    repeated: dict[bytes, str] = field(default_factory=dict)
    #: Numbers of the suites whose totals count a test with a failure and a skip as failed.
    counting_both: set[int] = field(default_factory=set)
    #: Numbers of the suites whose totals say failures that nothing shows, with how many.
    unseen: dict[int, int] = field(default_factory=dict)
    #: Whether some test passed more than once: then every test ran several times, and none was tried again.
    ran_again: bool = False
    #: Whether pytest counts fewer tests than it has entries, as it does for tests that were tried again.
    reruns: bool = False

    def entries(self, node_id: str, flavour: Flavour) -> list[Entry]:
        """Return what each entry of a name is, in their order; empty when it has only one."""
        endings = self.repeated.get(digest_of(node_id), "")
        entries: list[Entry] = []
        for at, _ending in enumerate(endings):
            before = endings[at - 1 : at]
            if not entries or not self._follows(before, endings[at:], flavour):
                entries.append(Entry(entries[-1].test + 1 if entries else 1, 1))
                continue
            if flavour.tool == "pytest":
                entries[-1] = entries[-1]._replace(failed_unseen=True)
            entries.append(Entry(entries[-1].test, entries[-1].attempt + 1))
        return entries

    def _follows(self, before: str, rest: str, flavour: Flavour) -> bool:
        """Tell whether the first of the `rest` of a name's entries is another attempt at the test `before` it."""
        ending = rest[0]
        if ending.isupper():
            return True
        if flavour.tool == "pytest":
            # It writes the last attempt as it ended, and those before it as if they had passed.
            return self.reruns and before == "p"
        if before in {"s", "S"}:
            # TestNG calls an attempt skipped that is followed by another; several skipped tests are followed by none.
            return flavour.tool in _SKIP_RETRIES and bool(rest.strip("s"))
        return flavour.unique and not self.ran_again and ending != "s"


def digest_of(node_id: str) -> bytes:
    """Return a short digest of a name: of a large report's names only this is remembered."""
    return hashlib.blake2b(node_name(node_id).encode("utf-8", "replace"), digest_size=8).digest()


def state_of(case: Element) -> str:
    """Return `failed`, `error`, `timeout`, `skipped` or nothing, from the attributes of a test."""
    for name in ("status", "result"):
        state = case.get(name)
        if _SKIPPED_STATE.fullmatch(state):
            return "skipped"
        match = _BAD_STATE.fullmatch(state)
        if match:
            plain = state.lower()
            return "timeout" if "out" in plain else ("failed" if plain[0] in "fkbx" else "error")
    return "failed" if case.get("success").lower() == "false" else ""


def read(parts: Iterator[tuple[Sign, Element]], root: Path) -> Outline:
    """Return the outline of a report. Raises ReportError."""
    outline = Outline()
    position = Position()
    tallies: list[_Tally] = []
    endings: dict[bytes, str] = {}
    last = b""
    for sign, element in parts:
        if sign is Sign.START:
            position.start(element)
            if len(position.suites) > len(tallies):
                tallies.append(_tally(element))
        elif sign is Sign.END:
            suite = position.end(element)
            if suite is not None:
                _close(outline, suite.number, tallies)
        elif element.tag == "properties":
            position.describe(element)
        elif element.tag == "testcase":
            case, flavour = position.case(element)
            digest = digest_of(flavour.name(case, root).node_id)
            _count(element, tallies[-1])
            if flavour.tool == "pytest" and digest == last and is_teardown(element):
                tallies[-1].entries -= 1
                continue
            last = digest
            ending = _ending(element)
            # A subtest of Go runs again with the test around it, which alone was tried again.
            part = flavour.tool == "go" and "/" in case.name
            outline.ran_again |= ending == "p" and "p" in endings.get(digest, "") and not part
            endings[digest] = endings.get(digest, "") + ending
        else:
            tallies[-1].plain += 1
    outline.repeated = {digest: found for digest, found in endings.items() if len(found) > 1}
    return outline


def failures_of(case: Element) -> list[Element]:
    """Return the elements by which a test failed; PHPUnit ends with 1 for what it calls a warning, too."""
    warnings = [one for one in case.named("warning") if one.get("type").startswith("PHPUnit")]
    return [*case.named(*FAILURES), *warnings]


def is_teardown(case: Element) -> bool:
    """Tell whether an entry of pytest is a failed teardown's."""
    errors = case.named("error")
    return bool(errors) and errors[0].get("message").startswith(TEARDOWN)


def _tally(suite: Element) -> _Tally:
    # Nobody has so many that it takes ten digits.
    counts = [int(count) if (count := suite.get(name)[:9]).isdecimal() else 0 for name in ("errors", "failures")]
    return _Tally(declared=(counts[0], counts[1]), tests=suite.get("tests"))


def _count(case: Element, tally: _Tally) -> None:
    tally.entries += 1
    bad = len(failures_of(case))
    if bad and case.named(*SKIPS):
        tally.both += bad
    else:
        tally.plain += bad or (state_of(case) not in {"", "skipped"})
    tally.plain += len(case.named(*EARLIER, *LATER))


def _close(outline: Outline, number: int, tallies: list[_Tally]) -> None:
    """Compare a suite's totals with what was in it, and add that to the suite around it."""
    tally = tallies.pop()
    declared = sum(tally.declared)
    if tally.declared == (tally.plain, tally.plain):
        # It counts each failure as an error, too.
        declared = tally.plain
    if tally.both and declared > tally.plain:
        outline.counting_both.add(number)
        tally.plain, tally.both = tally.plain + tally.both, 0
    if declared > tally.plain + tally.both:
        outline.unseen[number] = declared - tally.plain - tally.both
        tally.plain = declared - tally.both
    if tally.tests.isdecimal() and int(tally.tests[:9]) < tally.entries:
        outline.reruns = True
    if tallies:
        tallies[-1].plain += tally.plain
        tallies[-1].both += tally.both


def _ending(case: Element) -> str:
    """Return a letter for how an entry ended; a capital one when the tool says that it is not the first."""
    if case.named(*SKIPS) or state_of(case) == "skipped":
        ending = "s"
    elif failures_of(case) or case.named(*LATER) or state_of(case):
        ending = "f"
    else:
        ending = "p"
    again = any(case.get(name).lower() not in {"", first, "false", "no"} for name, first in _REPEATED.items())
    return ending.upper() if again else ending
