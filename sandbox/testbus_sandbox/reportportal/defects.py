"""The defect types of a new ReportPortal project: five groups with one type each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from testbus_sandbox.reportportal.refusals import ISSUE_TYPE_UNRESOLVED, refuse


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

_BY_LOCATOR: Final = {defect.locator: defect for defect in DEFECT_TYPES}


def resolve(locator: str) -> DefectType:
    """Return the type of that locator, in any case of letters; raise ReportPortalError 40020 when there is none."""
    defect = _BY_LOCATOR.get(locator.strip().lower())
    if defect is None:
        known = ", ".join(_BY_LOCATOR)
        raise refuse(
            ISSUE_TYPE_UNRESOLVED,
            f"Invalid test item issue type definition '{locator}' is requested. "
            f"Valid issue types' locators are: [{known}]",
        )
    return defect
