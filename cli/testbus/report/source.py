"""From what a person calls a run to its report: finds the run, reads its events, and an earlier run's to compare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from testbus.errors import CliError
from testbus.event_source import Published
from testbus.options import broker_or_home, context_of
from testbus.report.build import build, coverage_of
from testbus.report.gather import Gathered
from testbus.report.model import Earlier
from testbus_consumers import overview, settings
from testbus_consumers.errors import StateError
from testbus_consumers.records.listing import names
from testbus_consumers.store.run_key import RunKey
from testbus_consumers.wording.numbers import plural
from testbus_schemas import RunCompleted

if TYPE_CHECKING:
    from testbus.report.model import RunReport
    from testbus_consumers.records.listing import RunSummary

#: How long before a run's start its first event may have been published: clocks differ.
_EARLIER: Final = timedelta(hours=1)

#: Runs that are named when a beginning means several.
_NAMED: Final = 5

_SQLITE: Final = "sqlite:///"


def load(told: str | None, url: str | None) -> RunReport:
    """Return the report of a run: of the named one (a beginning that only one has is enough), else of this CI job's.

    Outside of a CI job an embedded pipeline's latest run is meant. Raises CliError when there is none, or several.
    """
    broker, home = broker_or_home(url)
    name = told or _default(home)
    published = Published(broker=broker, home=home)
    state = state_url(home)
    known = _known(state, name)
    kept = _read(published, known) if known else _search(published, name)
    components = settings.load().components
    report = build(kept, components=components)
    if report is None:
        raise _nothing(name)
    if known is None or report.coverage is None or state is None:
        return report
    with overview.records(state) as records:
        base = records.base_of(known)
        reference = records.get(known.context.project, base.run) if base.run is not None else None
    if reference is None:
        return report
    files = coverage_of(_read_until_complete(published, reference))
    context = reference.context
    earlier = Earlier(
        run=context.run,
        branch=context.branch,
        commit=context.commit,
        started_at=reference.started_at,
        number=context.run_number,
    )
    return build(kept, before=files, earlier=earlier, components=components) or report


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


def _read(published: Published, known: RunSummary) -> Gathered:
    """Return a run's events from its start on; from the very first if that leaves any out."""
    kept = Gathered(settings.load().coverage.rules)
    _add(kept, published, known.key, _since(known))
    report = build(kept)
    if report is None or (report.absent and published.broker):
        _add(kept, published, known.key, None)
    return kept


def _since(known: RunSummary) -> datetime:
    """Return from when on a run's events are looked for: never in the future, where a stream has no end to find."""
    return min(known.started_at, datetime.now(UTC)) - _EARLIER


def _add(kept: Gathered, published: Published, key: RunKey, since: datetime | None) -> None:
    for _, event in published.events(mentioning=key.run, since=since):
        if RunKey.of(event.data.context) == key:
            kept.add(event)


def _read_until_complete(published: Published, known: RunSummary) -> Gathered:
    """Return a complete run's events; of a stream, where they come in order, nothing beyond its completion is read."""
    kept = Gathered(settings.load().coverage.rules)
    for _, event in published.events(mentioning=known.run, since=_since(known)):
        if RunKey.of(event.data.context) == known.key:
            kept.add(event)
            if published.broker and isinstance(event.data, RunCompleted) and event.data.revision >= known.revision:
                break
    return kept


def _search(published: Published, name: str) -> Gathered:
    """Return the events of the run of this id, else of the only one whose id begins so, among all events."""
    found: dict[str, Gathered] = {}
    paths = settings.load().coverage.rules
    unreadable: list[tuple[str, str]] = []
    for _, event in published.events(mentioning=name, unreadable=lambda *told: unreadable.append(told)):
        run = event.subject
        if not run.startswith(name):
            continue
        kept = found.setdefault(run, Gathered(paths))
        # Of several beginnings only the names are told; nothing has to be kept of their events.
        if run == name or len(found) == 1:
            kept.add(event)
    if name not in found and len(found) > 1:
        raise _several(name, list(found))
    meant = name if name in found else next(iter(found), name)
    for run, told in unreadable:
        if run in {name, meant}:
            click.echo(told, err=True)
    if meant not in found:
        raise _nothing(name)
    return found[meant]


def _several(name: str, runs: list[str]) -> CliError:
    more = f"\n  … and {plural(len(runs) - _NAMED, 'more run')}" if len(runs) > _NAMED else ""
    shown = "\n  ".join(runs[:_NAMED]) + more
    return CliError(f"several runs begin with {name!r}; give more of the id:\n  {shown}")


def _nothing(name: str) -> CliError:
    return CliError(f"nothing was published of a run {name!r} that is still kept: `testbus runs` lists the runs")
