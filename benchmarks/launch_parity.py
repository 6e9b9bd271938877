"""Two launches of one run, compared item by item: that of ReportPortal's own pytest agent, and that of testbus.

What is allowed to differ is listed here, and in docs/reportportal.md, with its reason; anything else is a fault.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_consumers.reportportal.tree import RETRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbus_sandbox.reportportal.models import Item, Launch

#: Attributes that only testbus knows.
_OURS: Final = frozenset({"variant", "shard", "ci_attempt", "attempt", "fingerprint", "flaky"})

#: Markers that are instructions to pytest-xdist.
_INSTRUCTIONS: Final = frozenset({"xdist_group"})

#: Where an object lives, as testbus leaves it out of parameters.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]{4,16}")

#: How testbus says that it left something out.
_CUT: Final = re.compile(r"bytes left out …|… \(cut, \d+ characters\)|#[0-9a-f]{16}$")

#: What testbus says of a value whose text it does not ask for.
_UNASKED: Final = re.compile(r"<[^<>]* object>|<function [^ ]*>|<an integer of \d+ bits>|0x[0-9a-f]{500,}")

#: What the agent logs of a skipped test: the place and the reason, at ERROR.
_SKIPPED: Final = re.compile(r"\('.*', \d+, .*\)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that the two launches say differently."""

    #: What it is about: launch, item, or a field of the item.
    kind: str
    #: The item's names, from the root.
    item: str
    #: What the agent says.
    agent: str
    #: What testbus says.
    testbus: str
    #: Why it may differ, as in the docs; empty when it may not.
    reason: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of a comparison."""

    #: Items of either launch, the ones of both counted once.
    items: int
    #: Everything that differs.
    differences: tuple[Difference, ...]

    @property
    def faults(self) -> tuple[Difference, ...]:
        """Return the differences that may not be."""
        return tuple(one for one in self.differences if not one.reason)

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind with its reason."""
        return dict(Counter(f"{one.kind}: {one.reason or 'FAULT'}" for one in self.differences))


def compare(agent: Launch, testbus: Launch, root: str) -> Compared:
    """Compare two launches; `root` is the folder that pytest ran in."""
    theirs, ours = _by_path(agent), _by_path(testbus)
    found: list[Difference] = []
    items = 0
    for path in sorted(theirs.keys() | ours.keys()):
        those, these = theirs.get(path, []), ours.get(path, [])
        items += max(len(those), len(these))
        for that, this in zip(those, these, strict=False):
            found += _differences(path, that, this, root)
        found += (
            Difference(kind="item", item=path, agent=one.status, testbus="", reason="") for one in those[len(these) :]
        )
        found += (
            Difference(kind="item", item=path, agent="", testbus=one.status, reason=_extra(one))
            for one in these[len(those) :]
        )
    if agent.status != testbus.status:
        status = Difference(kind="launch", item=agent.name, agent=agent.status, testbus=testbus.status, reason="")
        worse = any(one.kind in {"item", "status"} and one.reason for one in found) and testbus.status == "FAILED"
        found.append(status if not worse else Difference(**{**vars(status), "reason": "what follows from its items"}))
    return Compared(items=items, differences=tuple(found))


def _by_path(launch: Launch) -> Mapping[str, list[Item]]:
    """Return items by their names from the root, in the order of their starts.

    Left out are earlier attempts, nested steps, and the suite that a flat launch has for retried tests.
    """
    by_uuid = {item.uuid: item for item in launch.items}
    found: dict[str, list[Item]] = {}
    for item in sorted(launch.items, key=lambda one: (one.start_time, one.id)):
        if item.retry_of is None and item.has_stats and item.name != RETRIED:
            found.setdefault(_path(item, by_uuid), []).append(item)
    return found


def _path(item: Item, by_uuid: Mapping[str, Item]) -> str:
    parent = by_uuid[item.parent] if item.parent else None
    return item.name if parent is None or parent.name == RETRIED else f"{_path(parent, by_uuid)} > {item.name}"


def _extra(item: Item) -> str:
    """Return why only testbus has an item."""
    collected = any("collect" in log.message or "import" in log.message.lower() for log in item.logs)
    return "what could not be collected" if "::" not in item.name and (collected or item.status == "SKIPPED") else ""


def _differences(path: str, agent: Item, testbus: Item, root: str) -> Iterator[Difference]:
    code_ref = agent.code_ref or ""
    if agent.type == "SUITE":
        code_ref = code_ref.removeprefix(root).lstrip("/") or code_ref
    fields = {
        "type": (agent.type, testbus.type),
        "status": (agent.status, testbus.status),
        "code_ref": (code_ref, testbus.code_ref or ""),
        "test_case_id": (agent.test_case_id or "", testbus.test_case_id or ""),
        "parameters": (_named(agent), _named(testbus)),
        "description": (agent.description or "", testbus.description or ""),
        "attributes": (str(_pairs(agent)), str(_pairs(testbus))),
        "defect": (_defect(agent), _defect(testbus)),
        "failures": ("\n".join(_errors(agent)), "\n".join(_errors(testbus))),
    }
    if agent.type == "SUITE":
        fields["test_case_id"] = ("", "")
    for kind, (that, this) in fields.items():
        if that != this:
            yield Difference(
                kind=kind, item=path, agent=that, testbus=this, reason=_reason(kind, that, this, agent, testbus)
            )


def _named(item: Item) -> str:
    return ", ".join(f"{name}={value}" for name, value in item.parameters)


def _defect(item: Item) -> str:
    return f"{item.issue.issue_type} {item.issue.comment or ''}" if item.issue else ""


def _pairs(item: Item) -> list[tuple[str, str]]:
    return sorted((one.key or "", one.value) for one in item.attributes if not one.system)


def _errors(item: Item) -> list[str]:
    """Return what is logged at ERROR of a test that did not pass, in the order of time: its failures among it."""
    entries = sorted(item.logs, key=lambda log: (log.time, log.id))
    return [log.message for log in entries if log.level == "ERROR" and item.status != "PASSED"]


def _reason(kind: str, that: str, this: str, agent: Item, testbus: Item) -> str:
    """Return why a difference may be; empty when it may not."""
    if "[redacted]" in this:
        return "secrets"
    judge = _JUDGES.get(kind)
    return judge(that, this, agent, testbus) if judge else ""


def _parameters(that: str, this: str, *_: Item) -> str:
    if _ADDRESS.sub("", that) == this:
        return "addresses of objects"
    if "\x00" in that and that.replace("\x00", "\\x00") == this:
        return "NUL, which no database stores"
    if _is_unasked(that, this):
        return "no code of a parameter is called"
    return "length" if _CUT.search(this) or (len(this) < len(that) and "..." in this) else ""


def _is_unasked(that: str, this: str) -> bool:
    """Tell whether texts differ in nothing but values that testbus does not ask for their text."""
    parts = _UNASKED.split(this)
    pattern = ".*".join(map(re.escape, parts))
    return len(parts) > 1 and re.fullmatch(pattern, _ADDRESS.sub("", that), re.DOTALL) is not None


def _test_case_id(that: str, this: str, agent: Item, testbus: Item) -> str:
    if agent.name.endswith(f"[{that}]"):
        return "ids of parametrize"
    values = sorted(this.partition("[")[2].removesuffix("]").split(","))
    if any(_UNASKED.search(value) for value in values):
        # Its values are in the order of their texts.
        asked = sorted(that.partition("[")[2].removesuffix("]").split(","))
        same = [value for value in values if value in asked]
        if len(asked) == len(values) == len(same) + sum(1 for value in values if _UNASKED.search(value)):
            return "no code of a parameter is called"
    return _parameters(that, this, agent, testbus)


def _description(that: str, this: str, _: Item, testbus: Item) -> str:
    if testbus.type != "SUITE" and testbus.status == "SKIPPED" and this.endswith(that):
        return "why it was skipped"
    if that.startswith("[doctest] ") and not this:
        return "doctests"
    return "length" if _CUT.search(this) else ""


def _attributes(_that: str, _this: str, agent: Item, testbus: Item) -> str:
    theirs, ours = _pairs(agent), _pairs(testbus)
    more = [pair for pair in ours if pair not in theirs and pair[0] not in _OURS]
    left = [
        (key, _ADDRESS.sub("", value))
        for key, value in theirs
        if (key, value) not in ours and not {key, value} & _INSTRUCTIONS
    ]
    if not more and not left:
        return "what only testbus knows"
    if sorted(left) == sorted(more):
        return "addresses of objects"
    asked = len(left) == len(more) and all(
        any(key == name and _is_unasked(value, text) for name, text in more) for key, value in left
    )
    return "no code of a parameter is called" if asked else ""


def _failures(_that: str, this: str, agent: Item, testbus: Item) -> str:
    if [one for one in _errors(agent) if not _SKIPPED.fullmatch(one)] == _errors(testbus):
        return "why it was skipped"
    return "length" if _CUT.search(this) else ""


def _status(_that: str, _this: str, _agent: Item, testbus: Item) -> str:
    return "subtests" if any("subtest" in log.message.lower() for log in testbus.logs) else ""


#: Kind of a difference → why it may be: from what the agent says, what testbus says, and both items.
_JUDGES: Final[Mapping[str, Callable[[str, str, Item, Item], str]]] = {
    "parameters": _parameters,
    "test_case_id": _test_case_id,
    "description": _description,
    "attributes": _attributes,
    "failures": _failures,
    "status": _status,
}
