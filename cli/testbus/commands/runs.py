"""`testbus runs`: what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from testbus.errors import CliError
from testbus.options import echo_json, embedded_home, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_consumers.records.listing import RunSummary

#: Most runs that are listed at once.
_MOST = 1000

#: What the gates may say of a run.
_VERDICTS = ("passed", "failed", "incomplete")

#: Characters of a cell; of a longer text the end is cut.
_CELL = 40


@click.command()
@click.option("--project", metavar="NAME", help="Only this project's.")
@click.option("--suite", metavar="NAME", help="Only this suite's.")
@click.option("--branch", metavar="NAME", help="Only this branch's.")
@click.option("--verdict", type=click.Choice(_VERDICTS), help="Only those with this verdict.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="How many.")
@url_option
@json_option
def runs(
    *,
    project: str | None,
    suite: str | None,
    branch: str | None,
    verdict: str | None,
    limit: int,
    url: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first: id, project, suite, branch, commit, start, status, verdict, tests."""
    from testbus.report.source import state_url  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers import overview  # noqa: PLC0415 the same

    state = state_url(embedded_home(url))
    if state is None:
        raise CliError(
            "no state here that could tell: begin with `testbus run -- pytest`, "
            "or name the consumers' database by TESTBUS_DATABASE_URL or state.url"
        )
    with overview.records(state) as records:
        found = records.find(project, suite=suite, branch=branch, verdict=verdict, limit=limit)
    if as_json:
        echo_json({"runs": [_data(one) for one in found]})
    elif not found:
        named = {"project": project, "suite": suite, "branch": branch, "verdict": verdict}
        filters = "".join(f", {name} {value}" for name, value in named.items() if value)
        click.echo(f"no such run yet: {filters.removeprefix(', ')}" if filters else "no run yet")
    else:
        _print(found)


def _data(one: RunSummary) -> dict[str, Any]:
    context = one.context
    return {
        "run": one.run,
        "project": context.project,
        "suite": context.suite,
        "branch": context.branch,
        "commit": context.commit,
        "pull_request": context.pull_request,
        "build_url": context.build_url,
        "started_at": one.started_at.isoformat().replace("+00:00", "Z"),
        "status": one.status,
        "revision": one.revision,
        "missing": list(one.reasons),
        "verdict": one.verdict,
        "counts": dict(one.counts),
        "total": None if one.status == "open" else sum(one.counts.values()),
    }


def _print(found: Sequence[RunSummary]) -> None:
    from testbus.report.terminal import COLOURS  # noqa: PLC0415 as above
    from testbus_consumers.wording import runs, text  # noqa: PLC0415 the same

    headings = ("run", "project", "suite", "branch", "commit", "started", "status", "verdict", "tests")
    rows = [
        (
            text.name(one.run),
            *(text.one_line(cell or "-", _CELL) for cell in _place(one)),
            f"{one.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
            one.status,
            one.verdict or "-",
            runs.counted(one.counts) if one.counts else "",
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    click.secho(_line(headings, widths), bold=True)
    for row in rows:
        click.echo(_line(row, widths, COLOURS.get(row[7])))


def _place(one: RunSummary) -> tuple[str | None, ...]:
    from testbus_consumers.wording import text  # noqa: PLC0415 as above

    context = one.context
    return context.project, context.suite, context.branch, text.commit(context.commit)


def _line(cells: Sequence[str], widths: Sequence[int], verdict_colour: str | None = None) -> str:
    padded = [f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)]
    padded[7] = click.style(padded[7], fg=verdict_colour)
    return "  ".join(padded).rstrip()
