"""Rules of the configuration: which failures are defects of which type."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field, field_validator, model_validator

from testbus_consumers.filters import matches_name, matches_path
from testbus_consumers.settings import Section
from testbus_schemas import Outcome

if TYPE_CHECKING:
    from testbus_schemas import Failure, Result

#: Longest pattern.
LONGEST: Final = 300

#: Quantifiers (`*`, `+`, `?`, `{m,n}`) in one pattern, at most: the cost grows with the text's length to their power.
QUANTIFIERS: Final = 3

#: Characters of a text that are looked at, from its beginning.
LOOKED_AT: Final = 300

#: What a pattern is made of: an escape, a set, the beginning of a group, a quantifier with its suffix, anything else.
_TOKENS: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?:P<\w+>|[a-zA-Z:<=!>-]+|\(\w+\)))?)"
    r"|(?P<quantifier>(?:[*+?]|\{\d*,?\d*\})[?+]?)|(?P<other>.)",
    re.DOTALL,
)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern ready for use; raise ValueError that says why it cannot be used."""
    if len(pattern) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    quantifiers, before = 0, ""
    for token in _TOKENS.finditer(pattern):
        kind, text = str(token.lastgroup), token.group()
        if kind == "escape" and text[1].isdigit() and text[1] != "0":
            raise ValueError(f"{text} refers back to a group, which has no bound on its cost")
        if kind == "open" and text.startswith("(?P="):
            raise ValueError("(?P=…) refers back to a group, which has no bound on its cost")
        if kind == "quantifier":
            quantifiers += 1
            if before == ")" and not text.startswith("?"):
                raise ValueError(f"{text} repeats a group, which has no bound on its cost: repeat characters or sets")
        before = text if kind == "other" else ""
    if quantifiers > QUANTIFIERS:
        raise ValueError(
            f"{quantifiers} quantifiers, at most {QUANTIFIERS} may be used: give the other words as alternatives"
        )
    return found


@lru_cache(maxsize=1024)
def found(pattern: str, text: str) -> bool:
    """Tell whether a pattern is found in the beginning of a text; of many tests with one message, one is looked at."""
    return compiled(pattern).search(text[:LOOKED_AT]) is not None


class DefectRule(Section):
    """One entry of `consumers.reportportal.targets.<name>.defects`: all conditions that it gives have to hold.

    Those on the failure have to hold for one and the same failure of a test.
    """

    #: Type of defect: to_investigate, product_bug, automation_bug, system_issue, no_defect, not_issue (none at all), or
    #: the locator, short name or long name of one of the project's own.
    defect: str = Field(min_length=1, max_length=256)
    #: What stands beside it; unset: which rule it was.
    comment: str | None = Field(default=None, max_length=1024)
    #: Globs of the exception's class, as `*.ConnectionError`, or `ConnectionError` in any module; also of its causes.
    types: tuple[str, ...] = ()
    #: Regular expression, searched in the beginning of the exception's message.
    message: str | None = None
    #: Where it happened: setup, call, teardown or collect.
    phases: tuple[str, ...] = ()
    #: Fingerprints of the root cause, as `v1:0123456789abcdef`.
    fingerprints: tuple[str, ...] = ()
    #: How the test ended: failed, error, timeout, skipped or xfailed.
    outcomes: tuple[Outcome, ...] = ()
    #: Globs of the test's file.
    paths: tuple[str, ...] = ()
    #: Globs of the names of its markers.
    markers: tuple[str, ...] = ()

    @field_validator("message")
    @classmethod
    def _bounded(cls, value: str | None) -> str | None:
        if value is not None:
            compiled(value)
        return value

    @field_validator("outcomes")
    @classmethod
    def _known(cls, value: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        if Outcome.UNKNOWN in value:
            allowed = ", ".join(outcome.value for outcome in Outcome if outcome is not Outcome.UNKNOWN)
            raise ValueError(f"no such outcome; known ones: {allowed}")
        return value

    @model_validator(mode="after")
    def _conditions(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields if name not in {"defect", "comment"}):
            raise ValueError("give at least one condition: a rule without any would hold for every test")
        return self

    def holds(self, result: Result, fingerprints: tuple[str, ...]) -> bool:
        """Tell whether the rule is about a result; `fingerprints` are those of its failures, in their order."""
        if self.outcomes and result.outcome not in self.outcomes:
            return False
        if self.paths and not matches_path(result.file or result.node_id.partition("::")[0], self.paths):
            return False
        if self.markers and not any(matches_name(marker.name, self.markers) for marker in result.markers):
            return False
        if not (self.types or self.message is not None or self.phases or self.fingerprints):
            return True
        return any(self._about(*each) for each in zip(result.failures, fingerprints, strict=True))

    def _about(self, failure: Failure, fingerprint: str) -> bool:
        if self.phases and failure.phase not in self.phases:
            return False
        if self.fingerprints and fingerprint not in self.fingerprints:
            return False
        if self.types:
            names = (failure.type, *(cause.type for cause in failure.chain))
            if not any(matches_name(one, self.types) for name in names for one in (name, name.rpartition(".")[2])):
                return False
        return self.message is None or found(self.message, failure.message[:LOOKED_AT])
