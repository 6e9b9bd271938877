"""Names, outcomes and counts of real reports, tool by tool."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.producers.readers.reading import FIXTURES, records, results

#: File → tool, and every test with its outcomes, one for each attempt.
EXPECTED = {
    "pytest.xml": (
        "pytest",
        {
            "tests/test_broken.py": "error",
            "tests/test_cart.py::TestCart::test_adds": "passed",
            "tests/test_cart.py::TestCart::test_total[3-4]": "passed",
            "tests/test_cart.py::TestCart::test_total[5-0]": "failed",
            "tests/test_cart.py::TestCart::test_empty": "failed",
            "tests/test_cart.py::test_skipped": "skipped",
            "tests/test_cart.py::test_known": "xfailed",
            "tests/test_cart.py::test_fixed": "failed",
            "tests/test_cart.py::test_till": "error",
            "tests/test_cart.py::test_receipt": "failed",
        },
    ),
    "unittest.xml": (
        "python",
        {
            "test_cart.py::TestCart::test_adds": "passed",
            "test_cart.py::TestCart::test_doubles (price=5)": "failed",
            "test_cart.py::TestCart::test_totals": "failed",
            "test_cart.py::TestCart::test_empties": "error",
            "test_cart.py::TestCart::test_prints": "skipped",
        },
    ),
    "robot.xml": (
        "junit",
        {"Rf.Cart::Adds": "passed", "Rf.Cart::Totals": "failed", "Rf.Cart::Prints": "skipped"},
    ),
    "surefire.xml": (
        "surefire",
        {
            "shop.CartTest::empties": "error error",
            "shop.CartTest::prints": "skipped",
            "shop.CartTest::totals": "failed failed",
            "shop.CartTest::adds": "passed",
            "shop.CartTest::hangs": "timeout timeout",
            "shop.CartTest::flickers": "failed passed",
        },
    ),
    "ant.xml": (
        "junit",
        {
            "shop.CartTest::empties": "error",
            "shop.CartTest::prints": "skipped",
            "shop.CartTest::totals": "failed",
            "shop.CartTest::adds": "passed",
            "shop.CartTest::hangs": "timeout",
            "shop.CartTest::flickers": "failed",
        },
    ),
    "node.xml": (
        "node",
        {
            "cart > adds": "passed",
            "cart > totals": "failed",
            "cart > empties": "failed",
            "cart > prints": "skipped",
            "cart > rounds": "skipped",
            "cart > with a discount > adds": "passed",
            "stands alone": "passed",
        },
    ),
    "jest.xml": (
        "jest",
        {
            "cart adds": "passed",
            "cart totals": "failed",
            "cart empties": "failed",
            "cart prints": "skipped",
            "cart rounds": "passed",
            "cart doubles": "passed",
            "cart doubles#2": "passed",
            "cart hangs": "timeout",
            "cart with a discount adds": "passed",
        },
    ),
    "jest-file.xml": (
        "jest",
        {
            "cart.jest.js::cart adds": "passed",
            "cart.jest.js::cart totals": "failed",
            "cart.jest.js::cart empties": "failed",
            "cart.jest.js::cart prints": "skipped",
            "cart.jest.js::cart rounds": "passed",
            "cart.jest.js::cart doubles": "passed",
            "cart.jest.js::cart doubles#2": "passed",
            "cart.jest.js::cart hangs": "timeout",
            "cart.jest.js::cart with a discount adds": "passed",
        },
    ),
    "mocha.xml": (
        "mocha",
        {
            "cart.mocha.js::cart adds": "passed",
            "cart.mocha.js::cart totals": "failed",
            "cart.mocha.js::cart empties": "failed",
            "cart.mocha.js::cart prints": "skipped",
            "cart.mocha.js::cart rounds": "skipped",
            "cart.mocha.js::cart hangs": "timeout",
            "cart.mocha.js::cart with a discount adds": "passed",
        },
    ),
    "vitest.xml": (
        "vitest",
        {
            "cart.test.ts::cart > adds": "passed",
            "cart.test.ts::cart > totals": "failed",
            "cart.test.ts::cart > empties": "failed",
            "cart.test.ts::cart > prints": "skipped",
            "cart.test.ts::cart > rounds": "skipped",
            "cart.test.ts::cart > with a discount > adds": "passed",
        },
    ),
    "playwright.xml": (
        "playwright",
        {
            "[desktop] cart.spec.ts::cart \u203a adds": "passed",
            "[desktop] cart.spec.ts::cart \u203a totals": "failed",
            "[desktop] cart.spec.ts::cart \u203a flickers": "passed",
            "[desktop] cart.spec.ts::cart \u203a hangs": "timeout",
            "[desktop] cart.spec.ts::cart \u203a prints": "skipped",
            "[desktop] cart.spec.ts::cart \u203a raises": "error",
            "[phone] cart.spec.ts::cart \u203a adds": "passed",
        },
    ),
    "gotestsum.xml": (
        "go",
        {
            "example.com/shop/cart::TestTotals/none": "failed",
            "example.com/shop/cart::TestTotals": "failed",
            "example.com/shop/cart::TestEmpties": "failed",
            "example.com/shop/cart::TestPrints": "skipped",
            "example.com/shop/cart::TestAdds": "passed",
            "example.com/shop/cart::TestTotals/dozen": "passed",
            "example.com/shop/till::TestOpens": "passed",
        },
    ),
    "phpunit.xml": (
        "phpunit",
        {
            r"Shop\CartTest::testAdds": "passed",
            r"Shop\CartTest::testTotals": "failed",
            r"Shop\CartTest::testEmpties": "error",
            r"Shop\CartTest::testPrints": "skipped",
            r"Shop\CartTest::testRounds": "skipped",
            r'Shop\CartTest::testDoubles with data set "cheap"': "passed",
            r"Shop\CartTest::testDoubles with data set #0": "failed",
        },
    ),
    "googletest.xml": (
        "googletest",
        {
            "Cart.Adds": "passed",
            "Cart.Totals": "failed",
            "Cart.Empties": "failed",
            "Cart.Prints": "skipped",
            "Cart.DISABLED_Rounds": "skipped",
            "All/Prices.AreLow/0": "passed",
            "All/Prices.AreLow/1": "failed",
        },
    ),
    "ctest.xml": (
        "ctest",
        {
            "cart.adds": "passed",
            "cart.totals": "failed",
            "cart.empties": "failed",
            "cart.prints": "skipped",
            "cart.rounds": "skipped",
            "cart.hangs": "failed",
            # CTest calls it skipped, and fails for it.
            "cart.missing": "error",
        },
    ),
}

#: Both of pytest's families say the same.
EXPECTED["pytest-xunit1.xml"] = EXPECTED["pytest.xml"]

#: File → test → type and first line of the message of its first failure: what its fingerprint is made of.
CAUSES = {
    "pytest.xml": {
        "tests/test_broken.py": ("ModuleNotFoundError", "No module named 'no_such_module'"),
        "tests/test_cart.py::TestCart::test_total[5-0]": ("AssertionError", "wrong total"),
        "tests/test_cart.py::test_fixed": ("XPASS(strict)", "[XPASS(strict)] rounding"),
        "tests/test_cart.py::test_till": ("OSError", "till is closed"),
        "tests/test_cart.py::test_receipt": ("AssertionError", "assert not 'both'"),
    },
    "surefire.xml": {
        "shop.CartTest::totals": ("java.lang.AssertionError", "expected:<13> but was:<12>"),
        "shop.CartTest::empties": ("java.lang.IllegalStateException", "no items"),
    },
    "node.xml": {
        "cart > totals": ("AssertionError", "Expected values to be strictly equal:12 !== 13"),
        "cart > empties": ("TypeError", "no items"),
    },
    "jest.xml": {
        "cart totals": ("Error", "expect(received).toBe(expected) // Object.is equality"),
        "cart empties": ("TypeError", "no items"),
    },
    "playwright.xml": {
        "[desktop] cart.spec.ts::cart \u203a totals": (
            "expect.toBe",
            "expect(received).toBe(expected) // Object.is equality",
        ),
    },
    "gotestsum.xml": {
        "example.com/shop/cart::TestTotals/none": ("", "got 0, want 12"),
        "example.com/shop/cart::TestEmpties": (
            "panic",
            "runtime error: index out of range [0] with length 0 [recovered]",
        ),
    },
    "phpunit.xml": {
        r"Shop\CartTest::testTotals": (
            r"PHPUnit\Framework\ExpectationFailedException",
            "Failed asserting that 12 is identical to 13.",
        ),
        r"Shop\CartTest::testEmpties": ("RuntimeException", "no items"),
    },
    "googletest.xml": {"Cart.Totals": ("", "Expected equality of these values:")},
    "ctest.xml": {"cart.totals": ("", "got 12, want 13")},
    "robot.xml": {"Rf.Cart::Totals": ("AssertionError", "wrong total: 12 != 13")},
}


def test_every_report_is_expected() -> None:
    """A report that is added comes with what it should say."""
    assert {path.name for path in FIXTURES.glob("*.xml")} - {"coverage-py.xml"} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_names_and_outcomes_are_those_of_the_tool(name: str) -> None:
    """Each attempt of each test, in the report's order, under the name that the tool itself uses."""
    tool, expected = EXPECTED[name]
    report, _ = records(FIXTURES / name, FIXTURES)
    attempts: dict[str, list[str]] = {}
    for result in results(FIXTURES / name):
        attempts.setdefault(result.node_id, []).append(str(result.outcome))
        assert result.attempt == len(attempts[result.node_id])
    assert {test: " ".join(outcomes) for test, outcomes in attempts.items()} == expected
    assert report.tool == tool


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_a_failure_says_its_cause(name: str) -> None:
    """Type and message tell one cause from another, wherever the tool puts them."""
    failures = {result.node_id: result.failures[0] for result in results(FIXTURES / name) if result.failures}
    found = {test: (failures[test].type, failures[test].message.partition("\n")[0]) for test in CAUSES[name]}
    assert found == CAUSES[name]


def test_a_failed_teardown_belongs_to_its_test() -> None:
    """Of a test that failed twice pytest writes two entries: one result with both failures."""
    for name in ("pytest.xml", "pytest-xunit1.xml"):
        (receipt,) = (one for one in results(FIXTURES / name) if one.node_id.endswith("test_receipt"))
        assert [(one.phase, one.message) for one in receipt.failures] == [
            ("call", "assert not 'both'"),
            ("teardown", "printer jammed"),
        ]


def test_where_a_test_is_and_what_it_says_of_itself() -> None:
    """File, line, code reference, properties and parameters."""
    by_id = {one.node_id: one for one in results(FIXTURES / "pytest-xunit1.xml")}
    adds = by_id["tests/test_cart.py::TestCart::test_adds"]
    assert (adds.file, adds.line, adds.code_ref) == (
        "tests/test_cart.py",
        7,
        "tests/test_cart.py:TestCart.test_adds",
    )
    assert [(one.name, one.args) for one in adds.markers] == [("owner", ("team-cart",))]
    low = next(one for one in results(FIXTURES / "googletest.xml") if one.node_id.endswith("AreLow/1"))
    assert (low.file, low.line, low.parameters) == ("gt.cc", 16, {"value_param": "5"})


def test_output_goes_along_as_it_is_asked_for() -> None:
    """By default that of tests that failed, without the banners that pytest adds, and redacted."""
    path = FIXTURES / "pytest.xml"
    failed = {one.node_id: one.output for one in results(path) if one.output}
    (output,) = failed["tests/test_cart.py::TestCart::test_total[5-0]"]
    assert (output.name, output.text) == ("stdout", "token=[redacted]")
    everything = Counter(bool(one.output) for one in results(path, output="all"))
    assert everything[True] == 3
    assert not any(one.output for one in results(path, output="none"))


def test_times_are_told_as_far_as_the_report_tells_them() -> None:
    """A test begins when its suite did and the tests before it were through."""
    first, second = results(FIXTURES / "vitest.xml")[:2]
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at.isoformat() == "2026-11-20T13:01:11.245000+00:00"
    assert (second.started_at - first.started_at).total_seconds() == pytest.approx(first.duration_s)
    assert all(one.started_at is None for one in results(FIXTURES / "node.xml"))


def test_a_report_says_when_its_tests_ran() -> None:
    """From the first test's beginning to the last one's end."""
    report, _ = records(FIXTURES / "playwright.xml", FIXTURES)
    assert report.started is not None
    assert report.ended is not None
    assert report.ended - report.started == pytest.approx(0.381)
