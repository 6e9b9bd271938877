"""`testbus events`: what was published, as it was published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from testbus.event_source import PublishedEvents
from testbus.options import broker_or_home, json_option, url_option

if TYPE_CHECKING:
    from testbus_schemas import Event, EventData


@click.command()
@click.option("--run", metavar="RUN", help="Only this run's.")
@click.option("--type", "kind", metavar="NOUN.VERB", help="Only this type, as results.recorded.")
@url_option
@json_option
def events(run: str | None, kind: str | None, url: str | None, *, as_json: bool) -> None:
    """Print events from the stream (or the embedded log), oldest first, one a line."""
    from testbus_schemas.codec import inflate  # noqa: PLC0415 for the help nothing is imported

    broker, home = broker_or_home(url)
    for message, event in PublishedEvents(broker=broker, home=home).events(mentioning=run):
        if (run and event.subject != run) or (kind and event.name != kind):
            continue
        if as_json:
            raw = inflate(message.body, message.content_encoding)
            click.echo(json.dumps(json.loads(raw), separators=(",", ":")))
        else:
            click.echo(_line(event))


def _line(event: Event[EventData]) -> str:
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 as above
    from testbus_schemas import GateEvaluated, ProducerFinished, ResultsRecorded  # noqa: PLC0415 the same

    data = event.data
    detail = ""
    if isinstance(data, ResultsRecorded):
        bad = sum(result.outcome.bad for result in data.results)
        detail = f"{plural(len(data.results), 'result')}, {bad:,} bad"
    elif isinstance(data, ProducerFinished):
        detail = f"{data.status}, {plural(data.reported, 'result')} in {plural(data.events, 'event')}"
    elif isinstance(data, GateEvaluated):
        detail = f"{data.verdict}"
    return f"{event.time:%Y-%m-%d %H:%M:%S}  {event.name:18}  {event.subject}  {detail}".rstrip()
