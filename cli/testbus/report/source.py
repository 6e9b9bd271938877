"""From what a person calls a run to its report: of the record where that is at hand, else of the stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from testbus.errors import CliError
from testbus.event_source import PublishedEvents
from testbus.options import broker_or_home, context_of
from testbus.report.build import build
from testbus.report.gather import Gathered
from testbus.report.model import Earlier
from testbus_consumers import overview, settings
from testbus_consumers.errors import NoRecordError, StateError
from testbus_consumers.records.listing import names
from testbus_consumers.wording.numbers import plural

if TYPE_CHECKING:
    from testbus.report.model import RunReport
    from testbus_consumers.records.listing import RunSummary
    from testbus_consumers.records.reading import Records

#: Runs that are named when a beginning means several.
_NAMED: Final = 5

_SQLITE: Final = "sqlite:///"


def load(named: str | None, url: str | None) -> RunReport:
    """Return the report of a run: of the named one (a beginning that only one has is enough), else of this CI job's.

    Outside of a CI job an embedded pipeline's latest run is meant. Raises CliError when there is none, or several.
    """
    broker, home = broker_or_home(url)
    name = named or _default(home)
    published = PublishedEvents(broker=broker, home=home)
    state = state_url(home)
    known = _known(state, name)
    if known is None or state is None:
        report = build(_search(published, name), components=settings.load().components)
    else:
        with overview.records(state) as records:
            report = _of_record(records, known)
    if report is None:
        raise _nothing(name)
    return report


def _of_record(records: Records, known: RunSummary) -> RunReport | None:
    """Return the report of what `runs` keeps of a run, compared with its base."""
    kept, components = _kept(records, known), settings.load().components
    if not kept.has_coverage:
        return build(kept, components=components)
    base = records.base_of(known)
    reference = records.get(known.context.project, base.run) if base.run is not None else None
    if reference is None:
        return build(kept, components=components)
    earlier = Earlier(
        run=reference.run,
        branch=reference.context.branch,
        commit=reference.context.commit,
        started_at=reference.started_at,
        number=reference.context.run_number,
    )
    before = records.open(reference.context, base.revision).coverage(kept.paths)
    return build(kept, before=before, earlier=earlier, components=components)


def _kept(records: Records, known: RunSummary) -> Gathered:
    """Return what is kept of a run: its events, else what they added up to."""
    kept = Gathered(settings.load().coverage.rules)
    kept.whole = True
    try:
        for event in records.kept(known.context.project, known.run):
            kept.add(event)
    except NoRecordError:
        for event in records.kept(known.context.project, known.run, partly=True):
            kept.add(event)
        if (record := records.latest(known.context)) is not None:
            kept.add_up(record, known.context)
    return kept


def _default(home: Path | None) -> str:
    """Return the run that is meant where none is named: this CI job's, else the latest of an embedded pipeline."""
    from testbus_producers.context import run_context  # noqa: PLC0415 only where no run is named

    if job := run_context.current_run():
        return job
    state = state_url(home) if home is not None else None
    if state is not None:
        with overview.records(state) as records:
            latest = records.find(limit=1)
        if latest:
            return latest[0].run
    return context_of(None, None).run


def state_url(home: Path | None) -> str | None:
    """Return where consumers keep their state: an embedded home's own, else as configured; None if it is not there."""
    url = f"{_SQLITE}{home / 'state'}" if home else settings.load().state_url()
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_dir():
        return None
    return url


def _known(state: str | None, name: str) -> RunSummary | None:
    """Return what `runs` knows of a run; None when it has not heard of it, or cannot be asked here."""
    if state is None:
        return None
    try:
        with overview.records(state) as records:
            found = records.named(name)
    except StateError as error:
        click.echo(f"testbus: {error}; looking through all events instead", err=True)
        return None
    if len(found) > 1:
        raise _several(name, names(found))
    return found[0] if found else None


def _search(published: PublishedEvents, name: str) -> Gathered:
    """Return the events of the run of this id, else of the only one whose id begins so, among all events."""
    found: dict[str, Gathered] = {}
    paths = settings.load().coverage.rules
    unreadable: list[tuple[str, str]] = []
    for _, event in published.events(mentioning=name, unreadable=lambda *entry: unreadable.append(entry)):
        run = event.subject
        if not run.startswith(name):
            continue
        kept = found.setdefault(run, Gathered(paths))
        # Of several beginnings only the names are reported; nothing has to be kept of their events.
        if run == name or len(found) == 1:
            kept.add(event)
    if name not in found and len(found) > 1:
        raise _several(name, list(found))
    chosen = name if name in found else next(iter(found), name)
    for run, message in unreadable:
        if run in {name, chosen}:
            click.echo(message, err=True)
    if chosen not in found:
        raise _nothing(name)
    return found[chosen]


def _several(name: str, runs: list[str]) -> CliError:
    more = f"\n  … and {plural(len(runs) - _NAMED, 'more run')}" if len(runs) > _NAMED else ""
    shown = "\n  ".join(runs[:_NAMED]) + more
    return CliError(f"several runs begin with {name!r}; give more of the id:\n  {shown}")


def _nothing(name: str) -> CliError:
    return CliError(f"nothing was published of a run {name!r} that is still kept: `testbus runs` lists the runs")
