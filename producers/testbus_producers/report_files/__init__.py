"""Readers of report files: JUnit XML of any flavour, coverage.py's data, Cobertura XML, LCOV, and benchmarks.

A reader yields records, plain JSON data of results and coverage, while it reads: a report of any size needs memory for
one test at a time. Whatever is wrong with a file is a `ReportError` that says which file, where, and what to do.
"""

from __future__ import annotations

from testbus_producers.report_files.discover import find, read
from testbus_producers.report_files.records import How, ReportFile, ReportRecord

__all__ = ["How", "ReportRecord", "ReportFile", "find", "read"]
