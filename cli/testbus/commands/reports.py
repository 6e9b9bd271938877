"""Report files that a command of `testbus run` wrote: published into its run before that is closed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_schemas import RunContext

#: Seconds that publishing may take: it is only a copy on this disk.
_TIMEOUT_S: Final = 30.0

#: Seconds by which a file may seem older than it is: some file systems keep whole ones, or two.
_COARSE_S: Final = 2.0


def publish_reports(patterns: Sequence[str], url: str, context: RunContext, since: float) -> list[str]:
    """Publish the files that the patterns mean and that were written since; return what is wrong, one line each.

    An older file is what an earlier command left: taken for this one's it would make a verdict on results of yesterday.
    Raises NotPublishedError when the disk refuses.
    """
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 for the help nothing is imported
    from testbus_producers import settings  # noqa: PLC0415 the same
    from testbus_producers.report_files import publish  # noqa: PLC0415 the same

    told = replace(settings.read(), url=url, run=context.run, project=context.project)
    published = publish.publish(patterns, told, timeout=_TIMEOUT_S, since=since - _COARSE_S)
    for warning in published.warnings:
        click.echo(f"testbus: {warning}", err=True)
    faults = [f"{pattern}: the command wrote no such file" for pattern in published.unmatched]
    faults += [f"{path}: older than the command, left out" for path in published.stale]
    faults += published.errors[len(published.unmatched) :]
    if published.files:
        results = sum(file.results for file in published.readable)
        files = plural(len(published.readable), "report file")
        click.echo(f"testbus: {plural(results, 'result')} of {files} · run {context.run}")
    return faults
