"""The part of JQL that the sandbox speaks; everything else is refused, as Jira refuses what it does not know.

`project = X AND labels = "Y" AND statusCategory != Done ORDER BY created DESC`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_sandbox.errors import JiraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from testbus_sandbox.jira.models import Issue

#: A word, a quoted text or an operator.
_TOKEN: Final = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<op>!=|=|,|\(|\))|(?P<word>[^\s"'=!,()]+))"""
)

#: Field (lower case) → the texts that it compares.
_FIELDS: Final[dict[str, Callable[[Issue], tuple[str, ...]]]] = {
    "project": lambda issue: (issue.project.key, issue.project.name, issue.project.id),
    "labels": lambda issue: issue.labels,
    "status": lambda issue: (issue.status.name, issue.status.id),
    "statuscategory": lambda issue: (issue.status.category.name, issue.status.category.key, issue.status.category.id),
    "issuetype": lambda issue: (issue.type.name, issue.type.id),
    "key": lambda issue: (issue.key,),
}

#: What results can be ordered by.
_ORDERS: Final[dict[str, Callable[[Issue], tuple[object, ...]]]] = {
    "created": lambda issue: (issue.created, int(issue.id)),
    "updated": lambda issue: (issue.updated, int(issue.id)),
    "key": lambda issue: (issue.project.key, int(issue.id)),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison."""

    #: Field, lower case.
    field: str
    #: Whether it has to be equal, or not equal.
    equal: bool
    #: With what.
    value: str

    def holds(self, issue: Issue) -> bool:
        """Tell whether an issue satisfies it. As in Jira, `!=` never holds where the field is empty."""
        values = [value.lower() for value in _FIELDS[self.field](issue)]
        return bool(values) and (self.value.lower() in values) == self.equal


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood."""

    #: All of them have to hold.
    clauses: tuple[Clause, ...]
    #: Field to order by.
    order: str = "created"
    #: Whether the greatest comes first.
    descending: bool = True

    def run(self, issues: Iterable[Issue]) -> list[Issue]:
        """Return the issues that satisfy it, in its order."""
        found = [issue for issue in issues if all(clause.holds(issue) for clause in self.clauses)]
        return sorted(found, key=_ORDERS[self.order], reverse=self.descending)


def parse(text: str) -> Query:
    """Return the query; raise JiraError (400) for what is no JQL, and for what the sandbox does not know."""
    tokens = _Tokens(text)
    clauses: list[Clause] = []
    while not tokens.ended and not tokens.word_is("order"):
        clauses.append(_clause(tokens))
        if not tokens.take_word("and"):
            break
        if tokens.ended:
            raise _syntax("Expecting a field name but the query ended.")
    order, descending = _order(tokens) if tokens.take_word("order") else ("created", True)
    if not tokens.ended:
        raise _syntax(f"Expecting either 'OR' or 'AND' but got '{tokens.take()}'.")
    return Query(tuple(clauses), order, descending)


def _clause(tokens: _Tokens) -> Clause:
    field = tokens.take()
    if field.lower() not in _FIELDS:
        raise JiraError(400, f"Field '{field}' does not exist or you do not have permission to view it.")
    operator = tokens.take() if not tokens.ended else ""
    if operator not in {"=", "!="}:
        raise _syntax(f"Expecting operator but got '{operator}'. The sandbox knows '=' and '!='.")
    if tokens.ended or tokens.is_operator:
        raise _syntax(f"Expecting either a value, list or function after '{operator}'.")
    return Clause(field.lower(), operator == "=", tokens.take())


def _order(tokens: _Tokens) -> tuple[str, bool]:
    if not tokens.take_word("by") or tokens.ended:
        raise _syntax("Expecting 'by' and a field name after 'ORDER'.")
    field = tokens.take()
    if field.lower() not in _ORDERS:
        raise JiraError(400, f"Not able to sort using field '{field}'.")
    descending = tokens.take_word("desc")
    if not descending:
        tokens.take_word("asc")
    return field.lower(), descending


def _syntax(what: str) -> JiraError:
    return JiraError(400, f"Error in the JQL Query: {what}")


class _Tokens:
    """The words of a query, one after the other."""

    def __init__(self, text: str) -> None:
        """Split the text."""
        self._left: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise _syntax(f"The character '{text[at:].strip()[:1]}' at position {at} is not understood.")
            kind = str(match.lastgroup)
            self._left.append((kind, match[kind]))
            at = match.end()

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    @property
    def is_operator(self) -> bool:
        """Whether the next one is an operator."""
        return self._left[0][0] == "op"

    def word_is(self, word: str) -> bool:
        """Tell whether the next one is this word, unquoted."""
        return bool(self._left) and self._left[0][0] == "word" and self._left[0][1].lower() == word

    def take(self) -> str:
        """Return the next one, and go on."""
        return self._left.pop(0)[1]

    def take_word(self, word: str) -> bool:
        """Go on if the next one is this word."""
        found = self.word_is(word)
        if found:
            self._left.pop(0)
        return found
