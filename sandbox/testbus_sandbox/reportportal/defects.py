"""The defect types of a ReportPortal project: five groups with one type each, and the project's own."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.reportportal.fields import Body
from testbus_sandbox.reportportal.refusals import (
    BAD_REQUEST,
    FORBIDDEN_OPERATION,
    INCORRECT_REQUEST,
    ISSUE_TYPE_NOT_FOUND,
    ISSUE_TYPE_UNRESOLVED,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class DefectType:
    """One defect sub-type of the project's settings."""

    #: Number on the server.
    id: int
    #: What requests name it by, for example `ti001`.
    locator: str
    #: Its group, for example `TO_INVESTIGATE`.
    group: str
    #: Name on pages.
    long_name: str
    #: Abbreviation on pages.
    short_name: str
    #: CSS colour.
    color: str


#: The types every project starts with.
DEFECT_TYPES: Final = (
    DefectType(
        id=1, locator="ti001", group="TO_INVESTIGATE", long_name="To Investigate", short_name="TI", color="#ffb743"
    ),
    DefectType(
        id=2, locator="ab001", group="AUTOMATION_BUG", long_name="Automation Bug", short_name="AB", color="#f7d63e"
    ),
    DefectType(id=3, locator="pb001", group="PRODUCT_BUG", long_name="Product Bug", short_name="PB", color="#ec3900"),
    DefectType(id=4, locator="nd001", group="NO_DEFECT", long_name="No Defect", short_name="ND", color="#777777"),
    DefectType(id=5, locator="si001", group="SYSTEM_ISSUE", long_name="System Issue", short_name="SI", color="#0274d1"),
)

#: Locator of what nobody looked at yet.
TO_INVESTIGATE: Final = "ti001"

#: In place of a locator: the item has no defect.
NOT_ISSUE: Final = "NOT_ISSUE"

#: What the locators of a project's own types begin with, by group.
PREFIXES: Final = {
    "TO_INVESTIGATE": "ti_",
    "AUTOMATION_BUG": "ab_",
    "PRODUCT_BUG": "pb_",
    "NO_DEFECT": "nd_",
    "SYSTEM_ISSUE": "si_",
}

#: Types that a project may have, at most.
MOST: Final = 75

#: Lengths of a type's names: shortest and longest.
LONG_NAME: Final = (3, 55)
SHORT_NAME: Final = (1, 4)

#: A colour, as the request model wants it.
_COLOR: Final = re.compile(r"#([A-Fa-f0-9]{6}|[A-Fa-f0-9]{3})")


def group_of(locator: str) -> str:
    """Return the group of a locator: its first letters tell."""
    return next(group for group, prefix in PREFIXES.items() if locator.startswith(prefix[0:2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateType:
    """POST /settings/sub-type."""

    #: One of the five groups.
    group: str
    #: Name on pages.
    long_name: str
    #: Abbreviation on pages.
    short_name: str
    #: CSS colour.
    color: str

    @classmethod
    def read(cls, data: Any) -> CreateType:
        """Read the JSON; raise ReportPortalError 4001 or 40016 for what is not valid."""
        body = Body(data)
        request = cls(
            group=body.sized("typeRef", 1, 256).upper(),
            long_name=body.sized("longName", *LONG_NAME),
            short_name=body.sized("shortName", *SHORT_NAME),
            color=body.sized("color", 1, 256),
        )
        if request.color and not _COLOR.fullmatch(request.color):
            body.violated("Field '{}' should match '#([A-Fa-f0-9]{6}|[A-Fa-f0-9]{3})$'.", "color")
        body.check()
        if request.group == NOT_ISSUE:
            raise refuse(INCORRECT_REQUEST, "Impossible to create sub-type for 'Not Issue' type.")
        if request.group not in PREFIXES:
            raise refuse(BAD_REQUEST, request.group)
        return request


@dataclass(slots=True)
class DefectTypes:
    """The types of a project, in the order in which they were made."""

    _types: dict[str, DefectType] = field(default_factory=lambda: {one.locator: one for one in DEFECT_TYPES})
    _made: int = len(DEFECT_TYPES)

    def __iter__(self) -> Iterator[DefectType]:
        """Iterate over the types."""
        return iter(tuple(self._types.values()))

    def create(self, request: CreateType) -> DefectType:
        """Add a type and return it; raise ReportPortalError 4001 when there are too many."""
        if len(self._types) >= MOST:
            raise refuse(INCORRECT_REQUEST, "Sub Issues count is bound of size limit")
        self._made += 1
        made = DefectType(
            id=self._made,
            locator=PREFIXES[request.group] + secrets.token_hex(6),
            group=request.group,
            long_name=request.long_name,
            short_name=request.short_name,
            color=request.color,
        )
        self._types[made.locator] = made
        return made

    def delete(self, number: int) -> tuple[DefectType, DefectType]:
        """Remove a type of the project's own, and return it and the one that its items have from now on.

        Raise ReportPortalError 40416 when there is none, 40010 for one of those that every project has.
        """
        found = next((one for one in self if one.id == number), None)
        if found is None:
            raise refuse(ISSUE_TYPE_NOT_FOUND, number)
        if found in DEFECT_TYPES:
            raise refuse(FORBIDDEN_OPERATION, "You cannot remove predefined global issue types.")
        del self._types[found.locator]
        return found, next(one for one in DEFECT_TYPES if one.group == found.group)

    def resolve(self, locator: str) -> DefectType:
        """Return the type of that locator, in any case of letters; raise ReportPortalError 40020 if there is none."""
        defect = self._types.get(locator.strip().lower())
        if defect is None:
            known = ", ".join(self._types)
            raise refuse(
                ISSUE_TYPE_UNRESOLVED,
                f"Invalid test item issue type definition '{locator}' is requested. "
                f"Valid issue types' locators are: [{known}]",
            )
        return defect
