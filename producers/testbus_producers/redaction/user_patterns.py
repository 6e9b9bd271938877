"""Patterns of secrets that users add: compiled, unless they could take for ever."""

from __future__ import annotations

import re
from re import _constants, _parser  # type: ignore[attr-defined] # the only way to look into a pattern
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A repetition that may go on further than this counts as one without bound.
LONG: Final = 1000

#: Repetitions that may give back what they took; possessive ones and atomic groups never do.
_GIVING_BACK: Final = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT})


def compiled(text: str) -> re.Pattern[str]:
    """Return the pattern. Raises re.error, also for one that a hostile text could keep busy for ever.

    That is one with a repetition, or a choice, within a repetition without bound: there are then exponentially many
    ways to divide a text between the two. A bound (`{1,20}`), a possessive repetition (`++`) or an atomic group makes
    it safe.
    """
    pattern = re.compile(text)
    for outer in _repetitions(_parser.parse(text)):
        if outer[1] > LONG and any(_undecided(outer[2])):
            raise re.error(
                "a repetition or choice within a repetition without bound can take for ever: bound the outer"
            )
    return pattern


def _repetitions(parsed: Any) -> Iterator[tuple[int, int, Any]]:
    """Yield (least, most, what) of every repetition that may give back, outer ones first."""
    for operation, argument in parsed:
        if operation in _GIVING_BACK:
            yield argument
        for inner in _inner(operation, argument):
            yield from _repetitions(inner)


def _undecided(parsed: Any) -> Iterator[bool]:
    """Yield for each operation within whether it may match one text in several ways."""
    for operation, argument in parsed:
        if operation in _GIVING_BACK:
            yield argument[0] != argument[1]
        yield operation == _constants.BRANCH
        if operation not in {_constants.ATOMIC_GROUP, _constants.POSSESSIVE_REPEAT}:
            for inner in _inner(operation, argument):
                yield from _undecided(inner)


def _inner(operation: Any, argument: Any) -> Iterator[Any]:
    """Yield the parts of an operation that are patterns themselves."""
    if operation in _GIVING_BACK or operation == _constants.POSSESSIVE_REPEAT:
        yield argument[2]
    elif operation == _constants.BRANCH:
        yield from argument[1]
    elif operation == _constants.SUBPATTERN:
        yield argument[3]
    elif operation in {_constants.ASSERT, _constants.ASSERT_NOT}:
        yield argument[1]
    elif operation == _constants.ATOMIC_GROUP:
        yield argument
    elif operation == _constants.GROUPREF_EXISTS:
        yield from (branch for branch in argument[1:] if branch is not None)
