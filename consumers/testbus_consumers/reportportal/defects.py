"""Types of defects: which one a result has by the configuration's rules, and how the project calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from reportportal_client.core.rp_issues import Issue

from testbus_consumers.reportportal import text
from testbus_schemas import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_consumers.reportportal.api import Json
    from testbus_consumers.reportportal.client import ReportPortalClient
    from testbus_consumers.reportportal.defect_rules import DefectRule
    from testbus_schemas import Result

log = structlog.get_logger(__name__)

#: Says that an item needs no investigation.
NOT_ISSUE: Final = "NOT_ISSUE"

#: Locator of what nobody looked at yet.
TO_INVESTIGATE: Final = "ti001"

#: Names that hold in every project, and the locators behind them.
BUILT_IN: Final = {
    "to_investigate": TO_INVESTIGATE,
    "product_bug": "pb001",
    "automation_bug": "ab001",
    "system_issue": "si001",
    "no_defect": "nd001",
    "not_issue": NOT_ISSUE,
}

#: Short names of the types in a new project.
SHORT: Final = {"TI": TO_INVESTIGATE, "PB": "pb001", "AB": "ab001", "SI": "si001", "ND": "nd001"}

#: Names of the project's types that a message lists.
_LISTED: Final = 30


@dataclass(frozen=True, kw_only=True)
class Defects:
    """The rules of a target, and what their types are called in its project."""

    #: In the order in which they are tried.
    rules: Sequence[DefectRule]
    #: The project's types: locator, short name and long name (lower case) → locator; None where it was not asked for.
    types: Mapping[str, str] | None

    def issue_of(self, result: Result) -> Issue | None:
        """Return the defect of a result by the first rule that is about it; None when there is none."""
        if not self.rules:
            return None
        fingerprints = tuple(map(fingerprint, result.failures))
        for number, rule in enumerate(self.rules, 1):
            if rule.holds(result, fingerprints):
                locator = self.locator(rule.defect)
                if locator is None:
                    return self.unknown(rule)
                comment = rule.comment or f"testbus, rule {number} of defects"
                return Issue(locator, None if locator == NOT_ISSUE else text.fit(comment, text.COMMENT))
        return None

    def locator(self, name: str) -> str | None:
        """Return the locator of a type by any of its names; None when the project has no such type."""
        return BUILT_IN.get(name.lower()) or (self.types or {}).get(name.strip().lower())

    def short(self, name: str) -> str | None:
        """Return the locator of a type by any of its names, or by the short name that it has in a new project."""
        return (self.types or {}).get(name.strip().lower()) or SHORT.get(name.upper()) or BUILT_IN.get(name.lower())

    def unknown(self, rule: DefectRule) -> Issue:
        """Return the defect of a rule whose type the project does not have: it is reported, to be looked at."""
        return Issue(TO_INVESTIGATE, text.fit(self.fault(rule.defect), text.COMMENT))

    def fault(self, name: str) -> str:
        """Return what is wrong with a type that the project does not have."""
        known = sorted(set(self.types or ()))[:_LISTED]
        return (
            f"testbus: the configuration's defects name the type {name!r}, which this project does not have; "
            f"it has: {', '.join([*BUILT_IN, *known])}"
        )


def refused(issue: Issue, error: Exception) -> Issue:
    """Return what stands for a defect that ReportPortal did not take: somebody has to look."""
    explained = f"testbus: the type {issue.issue_type!r} was refused ({error}); {issue.comment or ''}"
    return Issue(TO_INVESTIGATE, text.fit(explained, text.COMMENT))


def load(client: ReportPortalClient, rules: Sequence[DefectRule]) -> Defects:
    """Return the rules with the project's types, which are asked for if a rule needs one; see `KnownTypes`."""
    names = {rule.defect for rule in rules if rule.defect.lower() not in BUILT_IN}
    if not names:
        return Defects(rules=rules, types=None)
    types = client.types.known()
    if types is None:
        types = client.types.remember(named(client.call(lambda api: api.settings())))
        defects = Defects(rules=rules, types=types)
        for name in sorted(names):
            if defects.locator(name) is None:
                log.error("unknown defect type", reason=defects.fault(name))
    return Defects(rules=rules, types=types)


def faults(rules: Sequence[DefectRule], settings: Json) -> list[str]:
    """Return what is wrong with the types that rules name, given a project's settings."""
    defects = Defects(rules=rules, types=named(settings))
    return [defects.fault(name) for name in sorted({rule.defect for rule in rules}) if defects.locator(name) is None]


def named(settings: Json) -> dict[str, str]:
    """Return the types of a project's settings by each of their names, in lower case; a locator is never hidden."""
    types: list[Mapping[str, Any]] = [one for group in settings.get("subTypes", {}).values() for one in group]
    found: dict[str, str] = {}
    for key in ("longName", "shortName", "locator"):
        found |= {str(one[key]).strip().lower(): str(one["locator"]) for one in types if one.get(key)}
    return found
