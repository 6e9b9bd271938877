"""What is wrong with a configuration, said so that a person can correct it: the key, the fault, and what is allowed.

Nothing here ever shows a value: it may be a secret in the wrong place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    import yaml

#: Faults of something that is not a mapping where one belongs.
_NO_MAPPING = frozenset({"model_type", "model_attributes_type", "dict_type"})


def told(error: ValidationError, model: type[BaseModel], under: str) -> list[str]:
    """Return one `key: what is wrong` for each fault; `under` is the path of the model's own key."""
    faults = error.errors(include_url=False, include_input=False)
    places = [fault["loc"] for fault in faults]
    # A list whose only element is wrong is also called too short: the element's own fault says it better.
    return [
        _told(dict(fault), model, under)
        for fault in faults
        if fault["type"] != "too_short" or not any(_is_inside(place, fault["loc"]) for place in places)
    ]


def yaml_fault(error: yaml.YAMLError) -> str:
    """Return what is wrong with a YAML file and where, without the line itself."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{problem}{place}"


def _told(fault: dict[str, Any], model: type[BaseModel], under: str) -> str:
    unknown = fault["type"] == "extra_forbidden"
    location = fault["loc"][:-1] if unknown else fault["loc"]
    path, models = _follow(model, location)
    keys = ", ".join(sorted({name for one in models for name in one.model_fields}))
    place = ".".join(filter(None, (under, *path, str(fault["loc"][-1]) if unknown else ""))) or "the top"
    if unknown:
        return f"{place}: unknown key; allowed here: {keys or 'none'}"
    if fault["type"] in _NO_MAPPING:
        return f"{place}: expected a mapping" + (f" with the keys: {keys}" if keys else "")
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"


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
