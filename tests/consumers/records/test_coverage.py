"""Coverage as bit masks equals coverage as sets, in any order, and needs little memory whatever was sent."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_consumers.records.coverage import FileSums, line_mask, line_set, measured, merge_coverage, unite
from testbus_schemas import MalformedEventError
from testbus_schemas.coverage import format_lines, parse_lines
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_lines = st.sets(st.integers(0, 70), max_size=12)
_branches = st.sets(st.tuples(st.integers(-3, 9), st.integers(-3, 9)), max_size=6)

rows = st.lists(
    st.builds(
        lambda path, statements, executed, branches, part: {
            "path": path,
            "statements": format_lines(statements),
            "executed": format_lines(executed),
            "branches": None if branches is None else list(branches),
            "executed_branches": None if branches is None else sorted(branches)[:part],
        },
        path=st.sampled_from(["a.py", "/app/src/a.py", "b/c.py"]),
        statements=_lines,
        executed=_lines,
        branches=st.none() | _branches,
        part=st.integers(0, 6),
    ),
    max_size=8,
)


def naive(found: Sequence[dict[str, Any]], rules: PathRules) -> tuple[FileSums, ...]:
    """Add up coverage by sets."""
    sets: dict[str, list[set[Any]]] = defaultdict(lambda: [set(), set(), set(), set()])
    branched = set()
    for row in found:
        path = rules.apply(row["path"]) or row["path"]
        statements, executed, branches, taken = sets[path]
        statements |= parse_lines(row["statements"])
        executed |= parse_lines(row["executed"])
        branches |= set(row["branches"] or ())
        taken |= set(row["executed_branches"] or ())
        if row["branches"] is not None:
            branched.add(path)
    return tuple(
        FileSums(
            path=path,
            statements=len(statements),
            lines=len(statements & executed),
            branches=len(branches),
            taken=len(taken),
            branched=path in branched,
        )
        for path, (statements, executed, branches, taken) in sorted(sets.items())
    )


@given(found=rows, shuffled=st.randoms(use_true_random=False))
def test_masks_say_what_sets_say_in_any_order(found: list[dict[str, Any]], shuffled: random.Random) -> None:
    """Lines, branches, several producers, several machines."""
    rules = PathRules([("/app/src", "")])
    expected = naive(found, rules)
    assert merge_coverage(found, rules) == expected
    again = found + found[:2]
    shuffled.shuffle(again)
    assert merge_coverage(again, rules) == expected
    assert unite(measured(again), rules) == unite(measured(found), rules)


@given(lines=_lines)
def test_a_mask_is_a_line_set(lines: set[int]) -> None:
    """Written and read again."""
    assert line_mask(format_lines(lines)) == sum(1 << line for line in lines)
    assert line_set(line_mask(format_lines(lines))) == format_lines(lines)


def test_a_branch_that_cannot_be_taken_was_not_taken() -> None:
    """Whatever a producer says, no more than all branches were taken."""
    row = {
        "path": "a",
        "statements": "1-3",
        "executed": "1",
        "branches": [(1, 2)],
        "executed_branches": [(1, 2), (1, 3)],
    }
    assert [(one.branches, one.taken) for one in merge_coverage([row])] == [(1, 1)]


def test_a_short_text_cannot_ask_for_much_memory() -> None:
    """Twenty bytes are a mask of a million bits, not a set of a million numbers; a hundred such files are refused."""
    row = {"path": "a", "statements": "1-1000000", "executed": "1-1000000", "branches": None, "executed_branches": None}
    tracemalloc.start()
    try:
        assert merge_coverage([row | {"path": str(n)} for n in range(20)])[0].lines == 1_000_000
        with pytest.raises(MalformedEventError, match="more than 20,000,000 lines together"):
            measured([row | {"path": str(n)} for n in range(100)])
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
