"""`testbus overrides`: what people decide against the rules, for how long, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.errors import CliError
from testbus.options import (
    broker_or_home,
    duration,
    echo_json,
    embedded_home,
    json_option,
    plaintext_allowed,
    url_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from testbus_schemas import Override

#: What may be decided here.
_KINDS: Final = ("waiver", "quarantine", "mute", "acknowledgement")

#: Seconds within which the broker confirms.
_CONFIRM_S: Final = 30.0

_project = click.option("--project", envvar="TESTBUS_PROJECT", required=True, metavar="NAME", help="Whose rules.")
_reason = click.option("--reason", default="", metavar="TEXT", help="Why, for everybody else.")


@click.group()
def overrides() -> None:
    """Decide against the rules, for a while and with a reason.

    What is decided is kept and announced (override.recorded). The gates do not act upon it yet.
    """


@overrides.command("list")
@_project
@click.option("--kind", type=click.Choice(_KINDS), help="Only this kind.")
@url_option
@json_option
def list_(project: str, kind: str | None, url: str | None, *, as_json: bool) -> None:
    """List what holds now, the oldest first."""
    found = _holding(project, url, kind)
    if as_json:
        echo_json({"overrides": [one.model_dump(mode="json") for one in found]})
    elif not found:
        click.echo("no override holds")
    for one in found if not as_json else ():
        scope = "".join(f" {name} {value}" for name, value in one.scope.model_dump(exclude_none=True).items())
        until = "until it is ended" if one.until is None else f"until {one.until.astimezone():%Y-%m-%d %H:%M}"
        click.echo(f"{one.id}  {one.kind.value} of {one.subject or 'all'}{scope}")
        click.echo(f"    {until}, by {one.by}{f': {one.reason}' if one.reason else ''}")


@overrides.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("subject", default="")
@_project
@click.option("--for", "length", type=duration, metavar="DURATION", help="How long it holds, as 12h or 7d.")
@_reason
@click.option("--run", metavar="GLOB", help="Only for these runs.")
@click.option("--commit", metavar="GLOB", help="Only for these commits.")
@click.option("--branch", metavar="GLOB", help="Only for these branches.")
@click.option("--suite", metavar="GLOB", help="Only for these suites.")
@click.option("--variant", metavar="GLOB", help="Only for these variants.")
@url_option
@json_option
def add(
    kind: str,
    subject: str,
    *,
    project: str,
    length: timedelta | None,
    reason: str,
    url: str | None,
    as_json: bool,
    **scope: str | None,
) -> None:
    """Decide KIND about SUBJECT: a rule, a node id, an alarm; of everything where none is named.

    A waiver, a quarantine and a mute need --for.
    """
    from testbus_schemas.identity import new_id  # noqa: PLC0415 for the help nothing is imported

    now = datetime.now(UTC)
    until = None if length is None else now + length
    fields = {"kind": kind, "project": project, "subject": subject, "reason": reason, "since": now, "until": until}
    _publish_one(_override(id=new_id(), scope=scope, **fields), url, as_json=as_json)


@overrides.command()
@click.argument("override_id", metavar="ID")
@_project
@_reason
@click.option("--kind", type=click.Choice(_KINDS), help="What it is; needed where the state cannot be read.")
@url_option
@json_option
def end(override_id: str, project: str, reason: str, kind: str | None, url: str | None, *, as_json: bool) -> None:
    """End an override before its time."""
    from testbus_schemas.identity import new_id  # noqa: PLC0415 for the help nothing is imported

    if kind is None:
        named = {one.id: one for one in _holding(project, url, None)}
        if override_id not in named:
            raise CliError(f"no override {override_id} of project {project} holds: see `testbus overrides list`")
        kind = named[override_id].kind.value
    now = datetime.now(UTC)
    fields = {"kind": kind, "project": project, "reason": reason, "since": now, "until": now}
    _publish_one(_override(id=new_id(), ends=override_id, **fields), url, as_json=as_json)


@overrides.command()
@click.argument("file", type=click.Path(path_type=Path))
@_project
@url_option
@json_option
def apply(file: Path, project: str, url: str | None, *, as_json: bool) -> None:
    """Let the overrides of FILE hold: new ones are published, those that are gone from it end.

    Overrides that were decided elsewhere stay as they are.
    """
    from testbus.commands.pause import person  # noqa: PLC0415 for the help nothing is imported
    from testbus.override_file import changes, load  # noqa: PLC0415 the same
    from testbus_consumers import settings  # noqa: PLC0415 the same

    now, by = datetime.now(UTC), person()
    wanted = load(file, project, by, now, settings.load().overrides.max_days)
    made = tuple(changes(wanted, _holding(project, url, None), by, now))
    if made:
        _publish(made, url)
    if as_json:
        echo_json({"published": [one.model_dump(mode="json") for one in made], "hold": len(wanted)})
        return
    ended = sum(one.ends is not None for one in made)
    click.echo(f"{len(wanted)} in {file.name}: {len(made) - ended} published, {ended} ended")
    if made:
        _echo_next(url)


def _override(**fields: Any) -> Override:
    """Return what this person decides. Raises CliError for what can never hold."""
    from testbus.commands.pause import person  # noqa: PLC0415 as above
    from testbus_consumers import settings  # noqa: PLC0415 the same
    from testbus_schemas import Override  # noqa: PLC0415 the same

    made = Override(by=person(), **fields)
    if fault := made.fault(settings.load().overrides.max_days):
        raise CliError(f"{fault}: give --for")
    return made


def _publish_one(override: Override, url: str | None, *, as_json: bool) -> None:
    _publish([override], url)
    if as_json:
        echo_json(override.model_dump(mode="json"))
        return
    click.echo(f"{override.ends} is ended" if override.ends else f"{override.id}  {override.kind.value} published")
    _echo_next(url)


def _publish(overrides: Sequence[Override], url: str | None) -> None:
    from testbus_broker.message import message_of  # noqa: PLC0415 as above
    from testbus_broker.publisher import open_publisher  # noqa: PLC0415 the same
    from testbus_schemas import OverrideRequested, decided  # noqa: PLC0415 the same
    from testbus_schemas.context import project_context  # noqa: PLC0415 the same

    broker, home = broker_or_home(url)
    contexts = ((project_context(one.project, one.since), one) for one in overrides)
    events = [decided(OverrideRequested(context=context, override=one), event_id=one.id) for context, one in contexts]
    publisher = open_publisher(broker or f"file://{home}", allow_plaintext=plaintext_allowed())
    try:
        publisher.publish([message_of(event) for event in events], _CONFIRM_S)
    finally:
        publisher.close(_CONFIRM_S)


def _echo_next(url: str | None) -> None:
    if broker_or_home(url)[1] is not None:
        click.echo("next: testbus drain")


def _holding(project: str, url: str | None, kind: str | None) -> tuple[Override, ...]:
    """Return what holds now. Raises CliError where no state is known here, StateError where it cannot be read."""
    from testbus.report.source import state_url  # noqa: PLC0415 as above
    from testbus_consumers import overview  # noqa: PLC0415 the same
    from testbus_schemas import OverrideKind  # noqa: PLC0415 the same

    state = state_url(embedded_home(url))
    if state is None:
        raise CliError(
            "no state here that could tell: name the consumers' database by TESTBUS_DATABASE_URL or state.url"
        )
    with overview.records(state) as records:
        return records.overrides(project, *([OverrideKind(kind)] if kind else []), at=datetime.now(UTC))
