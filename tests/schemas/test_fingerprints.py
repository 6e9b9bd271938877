"""Fingerprints: one cause, one identity, for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_schemas import FINGERPRINT_VERSION, Failure, fingerprint
from testbus_schemas.fingerprints import root
from testbus_schemas.results import Cause

#: (type, message) → fingerprint. They are kept in other people's Jira and ReportPortal: within v1 none may ever change.
PINNED = [
    ("", "", "v1:01ba4719c80b6fe9"),
    ("builtins.AssertionError", "assert 1 == 2", "v1:4ba354bede8e296a"),
    ("builtins.AssertionError", "assert 'a' == 'b'", "v1:61f653a19cff76a2"),
    ("builtins.KeyError", "'user_17'", "v1:4411e6f7da8f5252"),
    ("builtins.ValueError", "invalid literal for int() with base 10: 'x1'", "v1:bc214d69adaa49e4"),
    (
        "builtins.FileNotFoundError",
        "[Errno 2] No such file or directory: '/tmp/pytest-of-me/pytest-3/x.txt'",
        "v1:e2d0a60a292fa5b5",
    ),
    ("builtins.FileNotFoundError", "no /home/ci/work/shop/data.json here", "v1:2604ce51eef2e063"),
    (
        "requests.exceptions.ConnectTimeout",
        "HTTPSConnectionPool(host='api', port=443): timed out after 30.5 s",
        "v1:7b016f8f63b7b412",
    ),
    ("builtins.TypeError", "<shop.Cart object at 0x7f3a2c1d0e80> is not callable", "v1:926bb9b786489467"),
    ("sqlalchemy.exc.IntegrityError", "duplicate key 123e4567-e89b-12d3-a456-426614174000", "v1:f5fac750e8a703f0"),
    (
        "java.lang.IllegalStateException",
        "commit deadbeef01 not found\n\tat com.acme.Shop.main(Shop.java:12)",
        "v1:4aee68f3e9f9d708",
    ),
    ("builtins.RuntimeError", "  \n first line counts \n second does not", "v1:45d11d52362677cf"),
    ("builtins.UnicodeError", "Ünïcode «passt» nicht: 3,14 €", "v1:b735e7e44a745361"),
]


def of(kind: str, message: str) -> str:
    """Return the fingerprint of a failure with this type and message."""
    return fingerprint(Failure(type=kind, message=message))


@pytest.mark.parametrize(("kind", "message", "expected"), PINNED)
def test_fingerprints_of_version_1_never_change(kind: str, message: str, expected: str) -> None:
    """The pinned table: a change of the rules has to be a new version."""
    assert of(kind, message) == expected


#: What led to a failure, the first cause first → what it is due to. Within version 2 none may ever change.
PINNED_2 = [
    ([("KeyError", "'x'", "cause")], "v1:e6ae1b83a5269ac4"),
    ([("KeyError", "'x'", "cause"), ("OSError", "gone", "cause")], "v1:e6ae1b83a5269ac4"),
    ([("OSError", "gone", "context"), ("KeyError", "'x'", "cause")], "v1:e6ae1b83a5269ac4"),
    ([("KeyError", "'x'", "member")], "v1:e6ae1b83a5269ac4"),
    ([("KeyError", "'x'", "member"), ("KeyError", "'y'", "member")], "v1:e6ae1b83a5269ac4"),
    ([("OSError", "gone", "member"), ("KeyError", "'x'", "member")], "v2:67131a4167225289"),
    ([("KeyError", "'x'", "member"), ("OSError", "gone", "member")], "v2:67131a4167225289"),
    ([("KeyError", "'x'", "member"), ("OSError", "gone", "member"), ("Group", "both", "cause")], "v2:67131a4167225289"),
    ([("KeyError", "'x'", "context")], "v1:b54410e80d399be0"),
    ([("KeyError", "'x'", "cause"), ("OSError", "gone", "context")], "v1:b54410e80d399be0"),
    ([("KeyError", "'x'", "unknown")], "v1:b54410e80d399be0"),
    ([], "v1:b54410e80d399be0"),
]


def due_to(*chain: tuple[str, str, str]) -> Failure:
    """Return a failure with what led to it."""
    causes = tuple(Cause(type=kind, message=message, relation=relation) for kind, message, relation in chain)
    return Failure(type="shop.OrderError", message="order 17", chain=causes)


@pytest.mark.parametrize(("chain", "expected"), PINNED_2)
def test_fingerprints_of_version_2_never_change(chain: list[tuple[str, str, str]], expected: str) -> None:
    """What was raised `from` an exception, wraps it or is a group of it is one cause with it; a context is none."""
    assert FINGERPRINT_VERSION == 2
    assert fingerprint(due_to(*chain)) == expected


def test_a_wrapped_exception_is_one_cause_with_the_bare_one() -> None:
    """Whether a test met it wrapped or not, one issue stands for it."""
    assert fingerprint(due_to(("KeyError", "'x'", "cause"))) == of("KeyError", "'user_17'")


def test_people_read_what_a_failure_is_due_to() -> None:
    """The cause instead of what wraps it; of a group with several causes, what each of them said."""
    assert root(due_to(("KeyError", "'x'", "cause"))) == ("KeyError", "'x'")
    several = root(due_to(("OSError", "gone\nmore", "member"), ("KeyError", "'x'", "member")))
    assert several == ("shop.OrderError", "KeyError: 'x'; OSError: gone")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("took 3 s", "took 41.5 s"),
        ("at 0x7f00", "at 0xDEADBEEF"),
        ("no 'a'", "no 'b c'"),
        ('no "a"', 'no "b"'),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-0000-4000-8000-0123456789ab"),
        ("in /tmp/a/b.txt", "in /var/x/y/z.log"),
        ("in C:\\a\\b", "in D:\\c\\d"),
        ("in shop/cart.py", "in other.py"),
        ("commit 0a1b2c3d4e", "commit ffffffff0"),
        ("a  b", "a\tb"),
        ("x\nnext line", "x\nanother"),
        ("\n\nx", "x"),
        ("temperature -5", "temperature 7e3"),
        ("12:30:01 gone", "09:00:59 gone"),
        ("took 9999999 ns", "took 10000000 ns"),
        ("took 30.5s", "took 7s"),
        ("no user_17", "no user_2048"),
        ("worker-3 died", "worker12 died"),
    ],
)
def test_what_varies_from_run_to_run_does_not_matter(one: str, other: str) -> None:
    """Numbers, addresses, quoted text, paths, UUIDs, hexadecimal, white space, and all but the first line."""
    assert of("E", one) == of("E", other)


@pytest.mark.parametrize(
    ("one", "other"), [("refused", "reset"), ("a b", "ab"), ("face", "fade"), ("v1", "w1"), ("a1", "a")]
)
def test_what_was_said_matters(one: str, other: str) -> None:
    """Words tell causes apart."""
    assert of("E", one) != of("E", other)


@given(st.text(max_size=40), st.text("abcdef.", max_size=10), st.text(max_size=20))
def test_only_type_and_message_count(message: str, kind: str, text: str) -> None:
    """A pure function of the two: text, frames and phase do not matter, the type does."""
    failure = Failure(type=kind, message=message)
    assert fingerprint(failure) == fingerprint(failure.model_copy(update={"text": text, "phase": "teardown"}))
    assert fingerprint(failure) != of(kind + "x", message)


@given(st.text(max_size=40), st.integers(), st.integers())
def test_numbers_are_masked_wherever_they_stand(words: str, one: int, other: int) -> None:
    """Any message with another number in it has the same fingerprint."""
    words = words.replace("'", "").replace('"', "").replace("`", "")
    assert of("E", f"{words} {one} ms") == of("E", f"{words} {other} ms")
