"""`testbus publish`: report files of any test runner, as events."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.errors import CliError, Exit
from testbus.options import context_of, echo_json, json_option, project_options, url_option
from testbus_schemas.wire import MAX_METRIC_UNIT

if TYPE_CHECKING:
    from testbus_producers.report_files.publish import Published
    from testbus_producers.report_files.published_file import PublishedFile


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH…")
@click.option(
    "--attach", multiple=True, metavar="TEST=FILE", help="A file or an address, of a test; =FILE: of the run."
)
@click.option(
    "--metric", multiple=True, metavar="NAME=VALUE", help="A measured value, with a unit or without: db size=12.5MB."
)
@click.option(
    "--better",
    type=click.Choice(["lower", "higher"]),
    help="Which value of a metric or a benchmark. [default: lower; of a benchmark what its report says]",
)
@url_option
@click.option("--run", metavar="RUN", help="Run id. [env: TESTBUS_RUN_ID; default: this CI job's]")
@click.option("--project", metavar="NAME", help="Project. [env: TESTBUS_PROJECT; default: the repository]")
@click.option("--suite", metavar="NAME", help="Suite. [env: TESTBUS_SUITE; default: the CI's job]")
@click.option("--stage", metavar="NAME", help="Stage of the pipeline. [env: TESTBUS_STAGE]")
@click.option("--component", metavar="NAME", help="What all tests and files belong to. [env: TESTBUS_COMPONENT]")
@click.option("--variant", metavar="NAME", help="The same tests in another environment. [env: TESTBUS_VARIANT]")
@click.option("--shard", metavar="I/N", help="Part of the tests, as 2/4. [env: TESTBUS_SHARD]")
@click.option("--attempt", type=click.IntRange(min=1), help="A higher one replaces the lower. [default: the CI's]")
@click.option("--timezone", metavar="ZONE", help="Of times without one, as Europe/Berlin. [env: TESTBUS_TIMEZONE]")
@click.option(
    "--paths",
    "path_rules",
    multiple=True,
    metavar="FOLDER=FOLDER",
    help="Where sources that were measured elsewhere are in the repository, as /app/src=src. [env: TESTBUS_PATHS]",
)
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to try.")
@json_option
def publish(
    paths: tuple[str, ...],
    *,
    attach: tuple[str, ...],
    metric: tuple[str, ...],
    better: str | None,
    attempt: int | None,
    path_rules: tuple[str, ...],
    timeout: float,
    as_json: bool,
    **options: str | None,
) -> int:
    """Publish report files: JUnit XML, coverage.py's data, Cobertura XML, LCOV, benchmarks.

    PATH is a file, a glob (quoted or not), or a folder, in which files of known names are read. What a quoted glob or a
    folder has that is no report is passed over; a file that is named has to be one. The same files again change
    nothing. Exits 0 when all was published, 1 when some file could not be read, 2 when none could, or when the
    broker does not answer.
    """
    from testbus_producers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_producers.report_files import publish as publication  # noqa: PLC0415 for the help nothing is imported

    variables = {
        settings.RUN_VARIABLE if name == "run" else f"TESTBUS_{name.upper()}": options[name] for name in options
    }
    variables["TESTBUS_PATHS"] = "\n".join(path_rules) or None
    if not paths and not attach and not metric:
        raise CliError("what? Give report files, folders or globs: testbus publish 'reports/*.xml'")
    attached = [_attached(text) for text in attach]
    metrics = [_metric(text) for text in metric]
    runner_settings = settings.read(variables, option="--")
    if runner_settings.url is None:
        raise CliError("where to? Set TESTBUS_URL or give --url amqps://user:password@host/vhost")
    published = publication.publish(
        paths, runner_settings, timeout=timeout, attached=attached, metrics=metrics, better=better, attempt=attempt
    )
    if as_json:
        echo_json(_as_json(published))
    else:
        _print(published)
    for line in (*published.warnings, *published.errors):
        click.echo(f"testbus: {line}", err=True)
    if not published.readable:
        return Exit.USAGE
    return Exit.FAILED if published.errors else Exit.OK


def _print(published: Published) -> None:
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 for the help nothing is imported

    for file in published.readable:
        click.echo(f"{file.report.path}: {_describe(file)}")
    if published.events:
        click.echo(f"{plural(published.events, 'event')} sent to {published.place} · run {published.run}")


def _attached(text: str) -> tuple[str | None, str]:
    """Return test and target of `TEST=FILE`; both may hold `=`, so it is split where a file or an address follows."""
    from testbus_producers.report_files.attachments import is_address  # noqa: PLC0415 as above

    for at in (at for at, letter in enumerate(text) if letter == "="):
        target = text[at + 1 :]
        if is_address(target) or (target and Path(target).is_file()):
            return text[:at] or None, target
    raise CliError(f"--attach {text!r}: expected TEST=FILE or TEST=https://…, with a file that is there")


#: Value and unit of a metric.
_MEASURED: Final = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)")


def _metric(text: str) -> dict[str, Any]:
    """Return name, value and unit of `NAME=VALUE`; a name may hold `=`."""
    name, _, measured = text.rpartition("=")
    match = _MEASURED.fullmatch(measured)
    if not name.strip() or match is None or len(match[2]) > MAX_METRIC_UNIT or not math.isfinite(float(match[1])):
        raise CliError(f"--metric {text!r}: expected NAME=VALUE, as queries=120 or 'db size=12.5MB'")
    return {"name": name.strip(), "value": float(match[1]), "unit": match[2].strip()}


def _describe(file: PublishedFile) -> str:
    """Return what a file held, in a few words."""
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 as above

    if file.copy_of is not None:
        return f"the same as {file.copy_of}, left out"
    if file.report.tool == "attachments":
        return plural(file.attachments, "attachment")
    if file.measured:
        noun = "value" if file.report.tool == "metrics" else "benchmark"
        return f"{file.report.tool}, {plural(file.measured, noun)}"
    if file.covered:
        return f"{file.report.tool}, coverage of {plural(file.covered, 'file')}"
    counts = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in sorted(file.outcomes.items()))
    more = f", {plural(file.attachments, 'attachment')}" if file.attachments else ""
    return f"{file.report.tool}, {plural(file.results, 'result')}{f' ({counts})' if counts else ''}{more}"


def _as_json(published: Published) -> dict[str, Any]:
    files = [
        {
            "path": str(file.report.path),
            "tool": file.report.tool,
            "outcomes": file.outcomes,
            "covered": file.covered,
            "attachments": file.attachments,
            "measured": file.measured,
            "copy_of": str(file.copy_of) if file.copy_of else None,
            "error": file.error,
            "passed_over": file.foreign,
            "warnings": file.report.warnings,
        }
        for file in published.files
    ]
    return {
        "run": published.run,
        "events": published.events,
        "files": files,
        "unmatched": list(published.unmatched),
    }


@click.command()
@click.argument("run", required=False)
@click.option("--shards", type=click.IntRange(1, 10_000), required=True, help="How many shards there are.")
@click.option("--variant", metavar="NAME", help="Whose shards they are. [default: those of every variant]")
@project_options
@url_option
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to try.")
@json_option
def finish(
    run: str | None,
    *,
    shards: int,
    variant: str | None,
    project: str | None,
    url: str | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Declare the number of shards of RUN (default: this CI job's run), where no shard knows it.

    The run is complete when all shards have finished. Call it before, between or after them; repeating it changes
    nothing.
    """
    from testbus_producers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_producers.report_files import publish  # noqa: PLC0415 for the help nothing is imported

    runner_settings = settings.read({"TESTBUS_URL": url}, option="--")
    if runner_settings.url is None:
        raise CliError("where to? Set TESTBUS_URL or give --url amqps://user:password@host/vhost")
    context = context_of(run, project)
    publish.announce_shards(context, shards, variant, runner_settings, timeout=timeout)
    if as_json:
        echo_json({"run": context.run, "variant": variant, "shards": shards})
    else:
        whose = f" of {variant}" if variant else ""
        click.echo(f"run {context.run}: {shards} shard{'' if shards == 1 else 's'}{whose} announced")
    return Exit.OK


@click.command()
@url_option
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to try.")
@json_option
def flush(url: str | None, timeout: float, *, as_json: bool) -> int:
    """Send what runners left in the spool; ids stay the same, so repeating it changes nothing."""
    from dataclasses import asdict  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 the same
    from testbus_producers import settings  # noqa: PLC0415 the same
    from testbus_producers.sending.flush import flush as send  # noqa: PLC0415 the same

    runner_settings = settings.read({"TESTBUS_URL": url}, option="--")
    if runner_settings.url is None:
        raise CliError("where to? Set TESTBUS_URL or give --url amqps://user:password@host/vhost")
    report = send(runner_settings.spool, runner_settings.url, timeout, allow_plaintext=runner_settings.allow_plaintext)
    if as_json:
        echo_json(asdict(report))
    elif not (report.events or report.remaining or report.busy):
        click.echo(f"nothing to send in {runner_settings.spool}")
    else:
        sent = f"{plural(report.events, 'event')} of {plural(report.producers, 'producer')}"
        click.echo(f"{sent} sent to {settings.place(runner_settings.url)}")
        if report.damaged:
            click.echo(f"{report.damaged} damaged records were passed over; their runs count them as dropped", err=True)
        if report.busy:
            click.echo(f"{report.busy} producers still run, or are being flushed: left alone")
    if report.remaining:
        click.echo(f"{report.remaining} producers remain in {runner_settings.spool}: {report.reason}", err=True)
        return Exit.FAILED
    return Exit.OK
