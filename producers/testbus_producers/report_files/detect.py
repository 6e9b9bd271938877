"""From a file to its records: what a file is, its first bytes say, whatever it is called."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from testbus_producers.errors import NoReportError, ReportError
from testbus_producers.report_files import cobertura, coverage_py, junit, lcov, xml_stream
from testbus_producers.report_files.junit_flavours import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_producers.report_files.records import How, Record, Report

#: How many bytes tell what a file is.
_HEAD: Final = 64

#: How an XML file may begin, byte order marks and UTF-16 included.
_XML: Final = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<", b"<\x00", b"\x00<")

#: How LCOV tracefiles begin.
_LCOV: Final = (b"TN:", b"SF:", b"VER:", b"# ")

_KNOWN: Final = "testbus reads JUnit XML, coverage.py's data, Cobertura XML and LCOV"


def read(how: How, report: Report) -> Iterator[Record]:
    """Yield the records of a report, and fill in what it is. Raises ReportError, maybe after some records."""
    path = str(report.path)
    try:
        with report.path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ReportError(path, f"it cannot be read ({error.strerror or error})") from error
    if not head:
        raise ReportError(path, "it is empty", remedy="whatever writes it was stopped; have it written anew")
    plain = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    if head.startswith(coverage_py.MAGIC):
        yield from coverage_py.records(how, report)
    elif plain.startswith(_LCOV):
        yield from lcov.records(how, report)
    elif plain.startswith(_XML):
        yield from _xml(how, report)
    else:
        raise NoReportError(path, f"it begins with {plain[:16]!r}, which is no report", remedy=_KNOWN)


def _xml(how: How, report: Report) -> Iterator[Record]:
    path = str(report.path)
    outermost = next((element for _, element in xml_stream.parse(report.path, keep=())), None)
    tag = outermost.tag if outermost else ""
    if outermost is not None and tag == cobertura.ROOT:
        whose = cobertura.foreign(outermost)
        if whose:
            raise NoReportError(path, f"it is {whose}'s XML", remedy="write Cobertura or LCOV")
        return cobertura.CoberturaReader(how, report).records()
    if tag in SUITES:
        return junit.JUnitReader(how, report).records()
    raise NoReportError(path, f"its outermost element is <{tag}>, which is no report", remedy=_KNOWN)
