"""The events as JSON Schema (draft 2020-12), for producers in other languages; checked in under `json_schemas/`.

`python -m testbus_schemas.json_schema` writes them anew (`make schemas`); a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from testbus_schemas import wire
from testbus_schemas.catalog import EVENT_TYPES, EventType
from testbus_schemas.envelope import Event

#: Where the checked-in files lie.
DIRECTORY = Path(__file__).with_name("json_schemas")


def schema_of(kind: EventType) -> dict[str, Any]:
    """Return the JSON Schema of one event type's whole message."""
    model = Event[kind.data]  # type: ignore[name-defined] # the parameter is only known at run time
    schema: dict[str, Any] = model.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = wire.data_schema(kind.name)
    schema["title"] = kind.name
    schema["description"] = (kind.data.__doc__ or "").strip()
    schema["properties"]["type"]["const"] = kind.type
    schema["properties"]["dataschema"]["const"] = wire.data_schema(kind.name)
    schema["required"] = sorted({*schema["required"], "specversion"})
    return schema


def export() -> dict[str, str]:
    """Return every schema as the text of its file, by file name."""
    return {
        f"{kind.name}.json": json.dumps(schema_of(kind), indent=2, sort_keys=True) + "\n"
        for kind in EVENT_TYPES.values()
    }


def main() -> None:
    """Write the checked-in files anew."""
    DIRECTORY.mkdir(exist_ok=True)
    wanted = export()
    for stale in {path.name for path in DIRECTORY.glob("*.json")} - set(wanted):
        (DIRECTORY / stale).unlink()
    for name, text in wanted.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
