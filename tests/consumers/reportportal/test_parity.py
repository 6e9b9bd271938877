"""The official agent beside testbus, on one run of a suite with every kind of outcome: what differs is written down."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.launch_parity import compare
from benchmarks.reportportal_parity import Both

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Launch

SUITE = {
    "pytest.ini": "[pytest]\naddopts = --doctest-modules\nmarkers =\n    slow\n    owner\n",
    "pkg/shop.py": '''
def total(prices):
    """Add up.

    >>> total([1, 2])
    3
    """
    return sum(prices)

def wrong():
    """
    >>> 1 + 1
    3
    """
''',
    "pkg/sub/test_more.py": "def test_more(): pass\n",
    "test_all.py": '''
"""Everything."""
import logging
import unittest
import pytest

class Odd:
    def __str__(self): return "odd"

def test_passes():
    """Passes.

    As it says.
    """

def test_fails():
    logging.getLogger("shop").warning("cart is %s", "empty")
    logging.error("no money")
    assert {"a": 1} == {"a": 2}

def test_raises():
    try:
        {}["key"]
    except KeyError as error:
        raise RuntimeError("wrapped") from error

@pytest.mark.parametrize("number, text", [(1, "one"), (2.5, "two words"), (None, ["a", "b"]), (True, Odd())])
def test_parametrised(number, text): pass

@pytest.mark.parametrize("value", [1, 2], ids=["first", "second"])
def test_with_ids(value): assert value == 1

@pytest.mark.parametrize("value", [object()])
def test_object(value): pass

@pytest.mark.slow
@pytest.mark.owner("ann")
class TestClass:
    """A class.

    Of tests.
    """
    @pytest.mark.owner("bob", since=3)
    def test_method(self): """In a class."""
    class TestInner:
        """A class in a class."""
        @pytest.mark.parametrize("p", ["a::b", "c/d", "e[f]"])
        def test_inner(self, p): raise ValueError(p)

@pytest.fixture
def broken_setup(): raise OSError("no such thing")

@pytest.fixture
def broken_teardown():
    yield
    raise OSError("left behind")

def test_setup_error(broken_setup): pass
def test_teardown_error(broken_teardown): pass
def test_fails_twice(broken_teardown): assert False
def test_skips(): pytest.skip("not today")
@pytest.mark.skip(reason="never")
def test_skipped(): "Said by its author."
@pytest.mark.skipif(True, reason="always")
def test_skipped_if(): pass
def test_skips_and_breaks(broken_teardown): pytest.skip("and more")
@pytest.mark.xfail(reason="known")
def test_xfails(): assert False
@pytest.mark.xfail
def test_xpasses(): pass
@pytest.mark.xfail(strict=True, reason="was known")
def test_xpasses_strictly(): pass
def test_imperative_xfail(): pytest.xfail("gave up")
def test_exits(): raise SystemExit(3)
def test_group(): raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
def test_secret(): raise ValueError("password=hunter2")

class TestUnit(unittest.TestCase):
    def test_ok(self): pass
    def test_not_ok(self): self.assertEqual(1, 2)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.skip("because")
    def test_unit_skip(self): pass

@pytest.mark.name("Pays with a card")
@pytest.mark.tc_id("T-1")
def test_named(): pass
@pytest.mark.tc_id("T-2", parameterized=True, params=["b"])
@pytest.mark.parametrize("a, b", [(1, 2), (1, 3)])
def test_case(a, b): pass
@pytest.mark.tc_id("T-3", parameterized=True, use_index=True)
@pytest.mark.parametrize("a", ["x", "y"])
@pytest.mark.parametrize("b", ["z", object()])
def test_numbered(a, b): pass
@pytest.mark.tc_id("T-4", parameterized=True, use_index=True, params=["c", "b"])
@pytest.mark.parametrize("a, b", [(1, 2), (1, 3)])
def test_some_numbered(a, b): pass
@pytest.mark.issue(issue_id=["AB-1", "AB-2"], reason="known", issue_type="PB", url="https://bts/{issue_id}")
def test_issue(): assert 0

tries = []
@pytest.mark.flaky(reruns=2)
def test_flaky():
    tries.append(1)
    assert len(tries) == 2
''',
}

#: Kind and reason of everything that may differ in that suite.
ALLOWED = {
    "attributes: what only testbus knows",
    "description: doctests",
    "description: why it was skipped",
    "failures: secrets",
    "failures: why it was skipped",
    "parameters: addresses of objects",
    "parameters: no code of a parameter is called",
    "test_case_id: no code of a parameter is called",
    "test_case_id: ids of parametrize",
}


@pytest.mark.parametrize("tree", ["flat", "directory"])
def test_a_launch_says_what_that_of_the_official_agent_says(
    portal: ReportPortalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: str
) -> None:
    """Launch, tree, names, types, statuses, code references, test cases, parameters, attributes and failures."""
    monkeypatch.setenv("TESTBUS_PARITY_KEY", "set by what reports")
    root = tmp_path / "suite"
    for name, text in SUITE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    both = Both(python=Path(sys.executable), root=root, folder=tmp_path, portal=portal)
    agent, testbus = both.report(tree)
    compared = compare(agent, testbus, str(root))
    assert [(one.kind, one.item, one.agent, one.testbus) for one in compared.faults] == []
    assert set(compared.counts()) <= ALLOWED
    assert compared.items == (46 if tree == "flat" else 54)
    assert {item.test_case_id for item in testbus.items if item.name.endswith("[1-3]")} == {
        "T-2[3]",
        "T-4[('b', 1),('c', None)]",
    }
    assert logged(testbus, "test_fails") == logged(agent, "test_fails") != []


def logged(launch: Launch, test: str) -> list[tuple[str, str]]:
    """Return level and text of what a test logged, in order."""
    (item,) = [item for item in launch.items if item.name.endswith(test)]
    entries = sorted(item.logs, key=lambda log: (log.time, log.id))
    return [(log.level, log.message) for log in entries if "money" in log.message or "cart" in log.message]
