"""One cause is one cause: what wraps an exception is looked into, where it is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_schemas import fingerprint
from testbus_schemas.fingerprints import root

if TYPE_CHECKING:
    from testbus_schemas import Failure
    from tests.producers.conftest import Project

#: Tests that fail for one cause, met in many ways, and others that do not.
WRAPPED = """
    import concurrent.futures
    import pytest

    class ShopError(Exception):
        pass

    def charge(n):
        raise ConnectionError(f"no bank at 10.0.0.{n}")

    def wrapped(n):
        try:
            charge(n)
        except ConnectionError as error:
            raise ShopError(f"order {n}") from error

    @pytest.fixture
    def account():
        wrapped(4)

    @pytest.fixture
    def closing():
        yield
        charge(5)

    @pytest.fixture
    def opening():
        yield
        charge(6)

    def test_bare():
        charge(1)

    def test_from():
        wrapped(2)

    def test_from_twice():
        try:
            wrapped(3)
        except ShopError as error:
            raise RuntimeError("page") from error

    def test_fixture(account):
        pass

    def test_teardowns(opening, closing):
        pass

    def test_group():
        raise ExceptionGroup("tasks", [ConnectionError("no bank at 10.0.0.7"), ConnectionError("no bank at 10.0.0.8")])

    def test_group_in_group():
        try:
            wrapped(9)
        except ShopError as error:
            raise ExceptionGroup("tasks", [ExceptionGroup("inner", [error])])

    def test_group_from():
        raise ShopError("order") from ExceptionGroup("tasks", [ConnectionError("no bank at 10.0.0.7")])

    def test_several():
        raise ExceptionGroup("tasks", [ConnectionError("no bank at 10.0.0.7"), KeyError("x")])

    def test_several_in_another_order():
        raise ExceptionGroup("others", [KeyError("y"), ConnectionError("no bank at 10.0.0.7")])

    def test_while_handling():
        try:
            charge(1)
        except ConnectionError:
            raise ShopError("order 7")

    def test_from_none():
        try:
            charge(1)
        except ConnectionError:
            raise ShopError("order 8") from None

    def test_pool():
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            pool.submit(charge, 1).result()
"""

#: A module whose doctests fail for that cause, and one that gets something else than it says.
DOCTESTS = """
    def pay():
        '''
        >>> from test_wrapped import charge
        >>> charge(3)
        '''

    def add():
        '''
        >>> 1 + 2
        4
        '''
"""


def failures(project: Project) -> dict[str, Failure]:
    """Return the first failure of each test by its name."""
    project.write(test_wrapped=WRAPPED, shop=DOCTESTS)
    project.run("--doctest-modules")
    return {result.node_id.rpartition("::")[2]: result.failures[0] for result in project.results() if result.failures}


def test_what_wraps_a_cause_is_one_with_it(project: Project) -> None:
    """Raised `from` it, a group of it, a fixture's error, two teardowns, a doctest: as where a test meets it bare."""
    found = failures(project)
    bare = fingerprint(found["test_bare"])
    same = {name for name, failure in found.items() if fingerprint(failure) == bare}
    assert same == {
        "test_bare", "test_from", "test_from_twice", "test_fixture", "test_teardowns", "test_group",
        "test_group_in_group", "test_group_from", "test_pool", "shop.pay",
    }  # fmt: skip
    assert root(found["test_from_twice"]) == ("ConnectionError", "no bank at 10.0.0.3")
    assert root(found["shop.pay"]) == ("ConnectionError", "no bank at 10.0.0.3")
    # Several causes are one of their own, whatever the group is called and in whatever order they come.
    assert fingerprint(found["test_several"]) == fingerprint(found["test_several_in_another_order"]) != bare
    assert root(found["test_several"])[1] == "ConnectionError: no bank at 10.0.0.7; KeyError: 'x'"
    # What was merely being handled is none.
    assert fingerprint(found["test_while_handling"]) == fingerprint(found["test_from_none"]) != bare
    assert root(found["test_while_handling"]) == ("test_wrapped.ShopError", "order 7")
    assert root(found["shop.add"]) == ("doctest.DocTestFailure", "shop.add: expected '4', got '3'")
