"""Texts from outside as people read them."""

from __future__ import annotations

import pytest

from testbus_consumers.wording import text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("no such file: '/home/anna/work/shop/data/orders.json'", "no such file: '…/data/orders.json'"),
        ("/Users/anna/shop.py", "…/shop.py"),
        ("in /tmp/pytest-of-anna/pytest-3/test_x0/a.txt, line 3", "in …/test_x0/a.txt, line 3"),
        ("C:\\Users\\anna\\shop\\cart.py is locked", "…/shop/cart.py is locked"),
        ("file:///builds/acme/shop/report.html", "…/shop/report.html"),
        ("/usr/lib/python3/dist-packages/yaml/reader.py:12", "yaml/reader.py:12"),
        ("/opt/venv/lib/python3.12/site-packages/requests/api.py", "requests/api.py"),
        ("/app/src/cart.py is gone", "…/src/cart.py is gone"),
        ("404 for /app/orders and /api/v1/orders", "404 for /app/orders and /api/v1/orders"),
        ("GET https://shop.example/home/anna/cart failed", "GET https://shop.example/home/anna/cart failed"),
        ("tests/home/x/y.py and a/tmp/b", "tests/home/x/y.py and a/tmp/b"),
        ("3/4 of /root", "3/4 of /root"),
    ],
)
def test_no_path_of_a_machine_is_told(given: str, shown: str) -> None:
    """Folder and file remain; addresses and paths in the project are what they were."""
    assert text.without_machine(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("tests/test_a.py::test_x[1]", "tests/test_a.py::test_x[1]"),
        ("tests/test_a.py::test_x[" + "y" * 50 + "]", "tests/test_a.py::test_x[…]"),
        ("some/deep/folder/of/tests/test_a.py::TestPaying::test_by_card", "…test_by_card"),
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m \u202ereversed", "red \ufffdreversed"),
    ],
)
def test_a_name_is_whole_or_a_part_that_means_something(given: str, shown: str) -> None:
    """Never cut in the middle of a word."""
    assert text.name(given, 40) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("one two three", "one two three"),
        ("one two three four", "one two three…"),
        ("one two threefour five", "one two…"),
        ("x" * 30, "x" * 14 + "…"),
        ("aaaa.bbbb.cccccccccccc", "aaaa.bbbb.…"),
    ],
)
def test_a_message_is_cut_between_words(given: str, shown: str) -> None:
    """Or at a joint of the word that is too long, or where it must."""
    assert text.one_line(given, 15) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, ""),
        ("4b1c2f9" + "0" * 33, "4b1c2f9"),
        ("4B1C2F9A", "4B1C2F9"),
        ("v1.2.3", "v1.2.3"),
        ("c2", "c2"),
    ],
)
def test_a_commit_is_short(given: str | None, shown: str) -> None:
    """Anything that is no commit id is itself."""
    assert text.commit(given) == shown


def test_a_run_is_what_people_call_it() -> None:
    """The CI's number; else its id, of which a UUID needs no more than its time."""
    assert text.run("github:acme/shop:4711:unit", "102") == "#102"
    assert text.run("x", "#7") == "#7"
    assert text.run("01a1fed6-2ab2-7c89-96da-5828b187a342") == "run 01a1fed6-2ab2"
    assert text.run("nightly") == "run nightly"


@pytest.mark.parametrize(
    ("tests", "module"),
    [
        (["tests/test_a.py::test_x[a::b/c.py::d]"], "tests/test_a.py"),
        (["tests/test_a.py::test_x", "tests/test_a.py::TestA::test_y"], "tests/test_a.py"),
        (["tests/api/test_a.py::x", "tests/api/test_b.py::x"], "tests/api (2 modules)"),
        (["tests/a.py::x", "spec/b.py::x"], "2 modules"),
        (["com.acme.CartTest::adds", "com.acme.PayTest::pays"], "com.acme (2 modules)"),
        (["/home/anna/shop/tests/test_a.py::x"], "…/tests/test_a.py"),
        ([], ""),
    ],
)
def test_tests_have_a_module_in_common(tests: list[str], module: str) -> None:
    """Their file or class, or the folder or package that holds all of them."""
    assert text.module(tests) == module


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("builtins.KeyError", "'x'", "KeyError: 'x'"),
        ("shop.Error", "\n  first\nsecond", "shop.Error: first"),
        ("", "only words", "only words"),
        ("KeyError", "", "KeyError"),
        ("", "", ""),
    ],
)
def test_an_exception_says_its_first_line(kind: str, message: str, said: str) -> None:
    """With its class, of which `builtins` says nothing."""
    assert text.failure_text(kind, message) == said
