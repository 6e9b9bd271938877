"""What is wrong with a configuration, said so that a person can correct it: file, line, key, and what is allowed there.

Nothing here ever shows a value: it may be a secret in the wrong place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Keys from the top of the file to a place in it; of a list the index.
KeyPath = tuple[str, ...]

#: Faults of something that is not a mapping where one belongs.
_NO_MAPPING: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})

#: Kind of fault, as pydantic calls it → what is allowed, from its details.
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is missing",
    "bool_type": lambda _: "expected true or false",
    "bool_parsing": lambda _: "expected true or false",
    "int_type": lambda _: "expected a whole number",
    "int_parsing": lambda _: "expected a whole number",
    "int_parsing_size": lambda _: "expected a smaller number",
    "int_from_float": lambda _: "expected a whole number",
    "float_type": lambda _: "expected a number",
    "float_parsing": lambda _: "expected a number",
    "finite_number": lambda _: "expected a number that is not infinite",
    "string_type": lambda _: "expected text; put quotes around a number, or a word such as yes or off",
    "path_type": lambda _: "expected a path",
    "tuple_type": lambda _: "expected a list",
    "list_type": lambda _: "expected a list",
    "greater_than": lambda told: f"must be more than {told['gt']:g}",
    "greater_than_equal": lambda told: f"must be at least {told['ge']:g}",
    "less_than": lambda told: f"must be less than {told['lt']:g}",
    "less_than_equal": lambda told: f"must be at most {told['le']:g}",
    "too_short": lambda told: f"needs at least {_entries(told['min_length'])}",
    "too_long": lambda told: f"takes at most {_entries(told['max_length'])}",
    "string_too_short": lambda told: (
        "must not be empty" if told["min_length"] == 1 else f"needs at least {told['min_length']} characters"
    ),
    "string_too_long": lambda told: f"takes at most {told['max_length']} characters",
    "literal_error": lambda told: f"expected one of: {_names(told['expected'])}",
    "enum": lambda told: f"expected one of: {_names(told['expected'])}",
    "union_tag_invalid": lambda told: f"expected one of: {_names(told['expected_tags'])}",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong."""

    #: The file, or whatever the data come from.
    source: str
    #: Line in the file, from 1; None where there is none.
    line: int | None
    #: Its key from the top, as `consumers.gates.rules.0.minimum`; "" for the file as a whole.
    key: str
    #: What is wrong, and what is allowed.
    text: str

    def __str__(self) -> str:
        """Return it as one line: `testbus.yaml:7: consumers.gates.rulez: unknown key; allowed here: rules`."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where settings come from, and on which line each key stands."""

    #: The file, or whatever the data come from.
    name: str
    #: Line of each key, from 1.
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def fault(self, path: KeyPath, text: str) -> Fault:
        """Return a fault of a key, or of what stands around it where the key itself is missing."""
        found = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        return Fault(source=self.name, line=found, key=".".join(path) or "the top", text=text)


def read(text: str, name: str) -> tuple[Any, Source, list[Fault]]:
    """Return the value of a YAML text, where its keys stand, and the keys that stand there twice; raises YAMLError."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        twice: list[tuple[KeyPath, int, int]] = []
        if node is not None:
            _walk(node, (), lines, twice, ())
        value = None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
    faults = [
        Fault(source=name, line=line, key=".".join(path), text=f"stands here a second time, first on line {first}")
        for path, line, first in twice
    ]
    return value, Source(name=name, lines=lines), faults


def found(error: ValidationError, model: type[BaseModel], source: Source, under: KeyPath) -> list[Fault]:
    """Return what is wrong with a section; `under` is the path of its own key."""
    faults = error.errors(include_url=False, include_input=False)
    places = [fault["loc"] for fault in faults]
    # A list whose only element is wrong is also called too short: the element's own fault says it better.
    return [
        _fault(dict(fault), model, source, under)
        for fault in faults
        if fault["type"] != "too_short" or not any(_is_inside(place, fault["loc"]) for place in places)
    ]


def yaml_fault(error: yaml.YAMLError, name: str) -> Fault:
    """Return what is wrong with a YAML file and where, without the line itself."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    place = f" at column {mark.column + 1}" if mark else ""
    return Fault(source=name, line=mark.line + 1 if mark else None, key="", text=f"not YAML: {problem}{place}")


def _walk(
    node: yaml.Node,
    path: KeyPath,
    lines: dict[KeyPath, int],
    twice: list[tuple[KeyPath, int, int]],
    around: tuple[yaml.Node, ...],
) -> None:
    if any(node is one for one in around):
        # An alias of what it stands in.
        return
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*path, str(index)] = item.start_mark.line + 1
            _walk(item, (*path, str(index)), lines, twice, (*around, node))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[tuple[str, str], int] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        inner, line = (*path, key.value), key.start_mark.line + 1
        if (key.tag, key.value) in seen:
            twice.append((inner, line, seen[key.tag, key.value]))
        seen.setdefault((key.tag, key.value), line)
        lines[inner] = line
        _walk(item, inner, lines, twice, (*around, node))


def _fault(fault: dict[str, Any], model: type[BaseModel], source: Source, under: KeyPath) -> Fault:
    unknown = fault["type"] == "extra_forbidden"
    location = fault["loc"][:-1] if unknown else fault["loc"]
    path, models = _follow(model, location)
    keys = ", ".join(sorted({name for one in models for name in one.model_fields}))
    place = (*under, *path, *((str(fault["loc"][-1]),) if unknown else ()))
    details = fault.get("ctx", {})
    if unknown:
        return source.fault(place, f"unknown key; allowed here: {keys or 'none'}")
    if fault["type"] in _NO_MAPPING:
        return source.fault(place, "expected a mapping" + (f" with the keys: {keys}" if keys else ""))
    if fault["type"].startswith("union_tag"):
        place = (*place, details["discriminator"].strip("'"))
    if fault["type"] == "union_tag_not_found":
        tags = sorted({str(tag) for one in models for tag in _tags(one)})
        return source.fault(place, f"is missing; one of: {', '.join(tags)}")
    if fault["type"] in _WORDS:
        return source.fault(place, _WORDS[fault["type"]](details))
    return source.fault(place, fault["msg"].removeprefix("Value error, "))


def _entries(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"


def _names(quoted: str) -> str:
    """Return names that pydantic lists, `'a', 'b' or 'c'`, with commas alone."""
    return ", ".join(part.strip(" '") for part in quoted.replace("' or '", "', '").split(","))


def _follow(model: type[BaseModel], location: tuple[Any, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the keys of a location as they stand in the file, and the models that may stand there."""
    path: list[str] = []
    models = [model]
    inside = False
    for part in location:
        tagged = [one for one in models if part in _tags(one)]
        if len(models) > 1 and tagged:
            # Not a key, but which of several models was recognised.
            models = tagged
            continue
        if part == "[key]":
            # The key of a mapping is what is wrong, and stands in the path already.
            continue
        path.append(str(part))
        fields = [one.model_fields[part] for one in models if not inside and part in one.model_fields]
        models = [kind for field in fields for kind in _models(field.annotation)] if fields else models
        # A list's index or a mapping's key leads to the same models; only below it there are fields again.
        inside = bool(fields) and any(get_origin(field.annotation) in {tuple, list, dict} for field in fields)
    return path, models


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _tags(model: type[BaseModel]) -> set[Any]:
    literals = (field.annotation for field in model.model_fields.values() if get_origin(field.annotation) is Literal)
    return {tag for literal in literals for tag in get_args(literal)}


def _is_inside(place: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other
