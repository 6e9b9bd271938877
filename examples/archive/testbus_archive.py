"""A consumer of your own: keeps every event in a file, one JSON object a line."""

from pathlib import Path

from testbus_consumers.runtime import Consumer, Done, Effects, Outcome, effect
from testbus_consumers.settings import Section
from testbus_schemas import EVENT_TYPES, Event, EventData


class ArchiveSettings(Section):
    """Section `consumers.archive`."""

    #: Folder that gets one file per project.
    folder: Path


def keep(event: Event[EventData], effects: Effects[ArchiveSettings, None]) -> Outcome:
    """Append the event to its project's file, once however often it comes."""
    file = effects.settings.folder / f"{event.data.context.project}.jsonl"

    def append() -> str:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(event.model_dump_json(exclude_none=True) + "\n")
        return str(file)

    def find() -> str | None:
        return str(file) if file.exists() and f'"id":"{event.id}"' in file.read_text(encoding="utf-8") else None

    return Done(effects.once(event.id, append, find))


CONSUMER = Consumer(
    name="archive",
    summary="keeps every event in a file",
    settings=ArchiveSettings,
    handlers={kind.data: effect(keep) for kind in EVENT_TYPES.values() if kind.name != "verdict.requested"},
)
