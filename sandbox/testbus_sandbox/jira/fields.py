"""Reads the fields of a new or changed issue, by Jira's rules; every fault of a request is told at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from testbus_sandbox.errors import JiraError
from testbus_sandbox.jira import adf
from testbus_sandbox.jira.models import ISSUE_TYPES, Named

#: Characters of a summary, of a label, and of rich text, at most.
SUMMARY_CHARS: Final = 255
LABEL_CHARS: Final = 255
RICH_CHARS: Final = 32_767

#: Fields on the screens of every project.
SYSTEM: Final = ("project", "issuetype", "summary", "description", "labels", "priority", "components", "environment")

#: What API 3 says of rich text that is no document.
NO_DOCUMENT: Final = "Operation value must be an Atlassian Document (see the Atlassian Document Format)"

#: What API 2 says of rich text that is no text.
NO_STRING: Final = "Operation value must be a string"

_TOO_LONG: Final = "The entered text is too long. It exceeds the allowed limit of 32,767 characters."


def project(given: Mapping[str, Any], projects: Mapping[str, Named]) -> Named:
    """Return the project that is named by key or id; raise JiraError 400."""
    wanted = given.get("project")
    wanted = wanted if isinstance(wanted, Mapping) else {}
    for one in projects.values():
        if one.key == wanted.get("key") or one.id == str(wanted.get("id")):
            return one
    raise JiraError(400, project="valid project is required")


def issue_type(given: Mapping[str, Any]) -> Named:
    """Return the issue type that is named by name or id; raise JiraError 400."""
    wanted = given.get("issuetype")
    wanted = wanted if isinstance(wanted, Mapping) else {}
    for one in ISSUE_TYPES:
        if one.name == wanted.get("name") or one.id == str(wanted.get("id")):
            return one
    raise JiraError(400, issuetype="valid issue type is required")


def comment(body: Any, *, documents: bool) -> str | Mapping[str, Any]:
    """Return a comment's body; raise JiraError 400."""
    if not body:
        raise JiraError(400, comment="Comment body can not be empty!")
    if (fault := _rich_fault(body, documents=documents)) is not None:
        raise JiraError(400, comment="Comment body is not valid!" if documents and fault == NO_DOCUMENT else fault)
    return body  # type: ignore[no-any-return] # checked above


def check(
    given: Mapping[str, Any], *, known: Collection[str], required: Mapping[str, str], documents: bool, creating: bool
) -> dict[str, Any]:
    """Return the fields of an issue that were given; raise JiraError 400 with every fault.

    `known` are custom fields that are on the screens, `required` those that must have a value (id → name).
    """
    faults = {
        name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        for name in given
        if name not in SYSTEM and name not in known
    }
    faults |= {name: f"{label} is required." for name, label in required.items() if not given.get(name)}
    if "summary" in given or creating:
        faults |= _named("summary", _summary_fault(given.get("summary")))
    if given.get("description") is not None:
        faults |= _named("description", _rich_fault(given["description"], documents=documents))
    if given.get("labels") is not None:
        faults |= _named("labels", _labels_fault(given["labels"]))
    if faults:
        raise JiraError(400, **faults)
    values: dict[str, Any] = {name: given[name] for name in ("summary", "description") if name in given}
    if "labels" in given:
        values["labels"] = tuple(dict.fromkeys(given["labels"] or ()))
    special = {"project", "issuetype", "summary", "description", "labels"}
    return values | {"fields": {name: value for name, value in given.items() if name not in special}}


def _named(name: str, fault: str | None) -> dict[str, str]:
    return {} if fault is None else {name: fault}


def _summary_fault(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "You must specify a summary of the issue."
    if "\n" in value or "\r" in value:
        return "The summary is invalid because it contains newline characters."
    return f"Summary must be less than {SUMMARY_CHARS} characters." if _characters(value) > SUMMARY_CHARS else None


def _labels_fault(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        return "Operation value must be an array of strings"
    for label in value:
        if any(character.isspace() for character in label):
            return f"The label '{label}' contains spaces which is invalid."
        if len(label) > LABEL_CHARS:
            return f"The label '{label[:20]}…' exceeds the maximum length of {LABEL_CHARS} characters."
    return None


def _rich_fault(value: object, *, documents: bool) -> str | None:
    if documents and not adf.valid(value):
        return NO_DOCUMENT
    if not documents and not isinstance(value, str):
        return NO_STRING
    length = _characters(json.dumps(value, ensure_ascii=False) if documents else str(value))
    return _TOO_LONG if length > RICH_CHARS else None


def _characters(text: str) -> int:
    """Return the characters that Java counts: those beyond the basic plane, such as emoji, are two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
