"""Compares two JSON Schemas of one event: within a major version only additions are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Keywords that say nothing about which events are valid.
_SILENT = frozenset({"title", "description", "default", "$id", "$schema", "$defs"})


def breaks(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what of a change would stop old events from being read here, or new ones by older readers."""
    return list(_breaks(old, new, "", old, new))


def _breaks(
    old: Mapping[str, Any], new: Mapping[str, Any], place: str, old_root: Mapping[str, Any], new_root: Mapping[str, Any]
) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    for keyword in sorted((old.keys() | new.keys()) - _SILENT):
        before, after = old.get(keyword), new.get(keyword)
        match keyword:
            case "properties":
                yield from _of_properties(before or {}, after or {}, place, old_root, new_root)
            case "required":
                yield from (f"{place}/{name}: is now required" for name in sorted(set(after or ()) - set(before or ())))
                yield from (
                    f"{place}/{name}: is no longer required" for name in sorted(set(before or ()) - set(after or ()))
                )
            case "enum":
                yield from (f"{place}: {value!r} is gone" for value in before or () if value not in (after or ()))
            case "items" | "additionalProperties" if isinstance(before, dict) and isinstance(after, dict):
                yield from _breaks(before, after, f"{place}/*", old_root, new_root)
            case "anyOf" | "prefixItems" if before and after and len(before) == len(after):
                for one, other in zip(before, after, strict=True):
                    yield from _breaks(one, other, place, old_root, new_root)
            case _ if before != after:
                yield f"{place}: {keyword} was {before!r} and is {after!r}"


def _of_properties(
    old: Mapping[str, Any], new: Mapping[str, Any], place: str, old_root: Mapping[str, Any], new_root: Mapping[str, Any]
) -> Iterator[str]:
    for name, before in old.items():
        if name in new:
            yield from _breaks(before, new[name], f"{place}/{name}", old_root, new_root)
        else:
            yield f"{place}/{name}: is gone"


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    return {
        **root["$defs"][schema["$ref"].removeprefix("#/$defs/")],
        **{k: v for k, v in schema.items() if k != "$ref"},
    }
