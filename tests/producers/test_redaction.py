"""Redaction: no secret leaves the process in which a result was born."""

from __future__ import annotations

import re
import time

import pytest

from testbus_producers.redaction import MASK, Redactor
from testbus_producers.text import Cleaner, cut


def _joined(*parts: str) -> str:
    """Return the parts as one: a scanner of this repository must not take them for real secrets."""
    return "".join(parts)


SECRETS = [
    _joined("AK", "IAIOSFODNN7EXAMPLE"),
    _joined("gh", "p_", "a1B2" * 9),
    _joined("github", "_pat_", "a1B2" * 10),
    _joined("gl", "pat-", "a1B2c3D4e5F6g7H8i9J0"),
    _joined("xo", "xb-123456789012-abcdefGHIJKL"),
    _joined("ey", "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
    _joined("sk", "_live_", "a1B2" * 6),
    _joined("AI", "za", "a1B2c" * 7),
    _joined("npm", "_", "a1B2" * 9),
    _joined("sk", "-proj-", "a1B2" * 8),
    _joined("hf", "_", "a1B2" * 9),
]


@pytest.mark.parametrize("secret", SECRETS)
def test_the_tokens_of_big_vendors_are_known_by_their_shape(secret: str) -> None:
    """Wherever they stand."""
    assert Redactor()(f"E   got {secret}, and more") == f"E   got {MASK}, and more"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("amqp://me:hunter2@host/x", f"amqp://me:{MASK}@host/x"),
        ("postgres://me:p@ss@host/x", f"postgres://me:{MASK}@host/x"),
        ("password=hunter2", f"password={MASK}"),
        ("DB_PASSWORD: hunter2", f"DB_PASSWORD: {MASK}"),
        ("{'password': 'hunter2', 'user': 'me'}", f"{{'password': '{MASK}', 'user': 'me'}}"),
        ('{"client_secret": "hunter2"}', f'{{"client_secret": "{MASK}"}}'),
        ('"{\\"api_key\\": \\"hunter2\\"}"', f'"{{\\"api_key\\": \\"{MASK}\\"}}"'),
        ("assert token == 'hunter2'", f"assert token == '{MASK}'"),
        ("?access_key=hunter2&x=1", f"?access_key={MASK}&x=1"),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MASK}"),
        ("curl -H 'authorization: Basic dXNlcjpwYXNz'", f"curl -H 'authorization: Basic {MASK}'"),
    ],
)
def test_values_beside_a_telling_name_are_removed(text: str, clean: str) -> None:
    """Only the value: what it was called helps who reads."""
    assert Redactor()(text) == clean


def test_a_private_key_is_removed_whole() -> None:
    """Also when its end was cut off."""
    key = _joined("-----BEGIN RSA ", "PRIVATE KEY-----\nMIIE\nabc\n")
    assert Redactor()(f"x {key}-----END RSA PRIVATE KEY----- y") == f"x {MASK} y"
    assert Redactor()(f"x {key}") == f"x {MASK}"


@pytest.mark.parametrize(
    "text",
    [
        "assert 1 == 2",
        "def login(user: str, password: str = None, token: str | None = None) -> None:",
        "token = make_token(user)",
        "assert token is None",
        "token_count == 3",
        "https://example.com:8080/path?x=1",
        "KeyError: 'monkey'",
        "tokens: 12",
        "git@github.com:acme/shop.git",
    ],
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    """Source lines and counts are needed to understand a failure."""
    assert Redactor()(text) == text


def test_a_users_patterns_are_removed_too() -> None:
    """The whole match, or its group named secret."""
    redact = Redactor([re.compile("ACME-[0-9]+"), re.compile("pin (?P<secret>[0-9]+)")])
    assert redact("ACME-12 pin 345") == f"{MASK} pin {MASK}"


@pytest.mark.parametrize(
    "piece", ["a", "eyJ-", "token=", 'token="', "://a", "password", "-----BEGIN PRIVATE KEY-----", "eyJa.eyJa"]
)
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    """No pattern goes back over what it has read."""
    text = piece * (256 * 1024 // len(piece))
    started = time.process_time()
    Redactor()(text)
    assert time.process_time() - started < 5


def test_a_parameter_with_a_telling_name_is_removed() -> None:
    """The name of a parameter is not in its value."""
    clean = Cleaner()
    assert clean.named("password", "'hunter2'") == MASK
    assert clean.named("count", "3") == "3"
    assert clean.value("<Thing object at 0x7f00deadbeef>") == "<Thing object>"


def test_a_long_text_loses_its_middle_and_says_so() -> None:
    """Its beginning and its end say the most."""
    text = "begin " + "é" * 100_000 + " end"
    short = cut(text, 1000)
    assert len(short.encode()) <= 1000
    assert short.startswith("begin ")
    assert short.endswith(" end")
    assert "bytes left out" in short


def test_what_no_database_stores_is_written_out() -> None:
    """A NUL in a text is shown as its escape."""
    assert Cleaner().message("a\x00b") == "a\\x00b"
