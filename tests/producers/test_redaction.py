"""Redaction: no secret leaves the process in which a result was born."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.redaction import HOSTILE, changed_lines, growth, recall, shows
from harness.secret_corpus import lookalikes, planted, sources, tokens
from testbus_producers.context.ci import Build
from testbus_producers.context.run_context import begin
from testbus_producers.errors import SettingError
from testbus_producers.redaction.cleaner import Cleaner, cut, node_name
from testbus_producers.redaction.redactor import MASK, TOO_SLOW, Redactor
from testbus_producers.settings import read

SECRETS = tokens(random.Random(3))


@pytest.mark.parametrize("kind", SECRETS)
def test_the_tokens_of_big_vendors_are_known_by_their_shape(kind: str) -> None:
    """Wherever they stand, and nothing beside them is touched."""
    token = SECRETS[kind]
    clean = Redactor()(f"E   got {token}, and more")
    assert clean.startswith("E   got ")
    assert clean.endswith(f"{MASK}, and more")
    assert not shows(clean, token.rpartition("/")[2])


def test_secrets_are_found_and_clean_text_is_left_alone() -> None:
    """Of every kind of secret in every place all are found, and hardly a line is changed that has none.

    The figures of a larger run are in docs/security.md; `python -m benchmarks.redaction` makes them.
    """
    found = recall(seed=11, rounds=2)
    assert found == {"planted": found["planted"], "found": found["planted"]}
    assert found["planted"] > 800
    assert changed_lines(lookalikes(12, 300_000)) <= 1
    code = "\n".join(text for _, text in sources(500_000))
    assert changed_lines(code) <= len(code) / 1e6 * 20


@settings(max_examples=25, deadline=None)
@given(st.text(st.sampled_from("ab1 \n\"'=:@/.-_[]{}\\"), max_size=40), st.sampled_from(["token", "://", "eyJ", ""]))
def test_no_text_costs_more_than_its_length(piece: str, hint: str) -> None:
    """Whatever is repeated: four times the text takes about four times as long, where it takes any time at all."""
    assert growth((hint + piece) or "a", size=8_000) < 3


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_costs_no_more_than_its_length(piece: str) -> None:
    """No pattern goes back over what it has read."""
    assert growth(piece) < 3


@given(st.text(max_size=300))
def test_what_was_redacted_stays_so(text: str) -> None:
    """A second time changes nothing: texts pass through here more than once."""
    once = Redactor()(text)
    assert Redactor()(once) == once


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
    key = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\nabc\n"
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


@pytest.mark.parametrize("cut", ["whole", "end missing", "begin missing"])
@pytest.mark.parametrize("kind", ["RSA PRIVATE", "PGP PRIVATE"])
def test_a_cut_key_is_removed_as_far_as_it_is_there(kind: str, cut: str) -> None:
    """Nothing of it stays, in a report with pytest's margin neither; what stands before it does."""
    for one in planted(5):
        if (one.kind, one.place) == (f"{kind.lower()} key", cut):
            clean = Redactor()(one.text)
            assert not shows(clean, one.secret)
            assert clean.startswith("before\n")
            return
    raise AssertionError(kind)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(?:a|aa)+b", r"(\w*\s?)*x", r"((ab)*c?)*", r"(x(y{1,9})?)*"])
def test_a_users_pattern_that_could_take_for_ever_is_refused(pattern: str) -> None:
    """With what to write instead."""
    with pytest.raises(SettingError, match="bound the outer"):
        read({}, {"TESTBUS_REDACT": f"ACME-[0-9]+\n{pattern}"})


@pytest.mark.parametrize("pattern", [r"(?:a+b){1,20}", r"(?>a+)+b", r"(?:a++b)+", r"\d{4}-\d{4}", r"(?P<secret>\w+)@x"])
def test_a_users_pattern_that_is_bounded_is_taken(pattern: str) -> None:
    """Repetitions within bounded, possessive or atomic ones are fine."""
    assert read({}, {"TESTBUS_REDACT": pattern}).redact == (re.compile(pattern),)


def test_a_slow_pattern_of_a_user_costs_the_rest_of_the_text() -> None:
    """What could not be looked at in time is not published."""
    slow = Redactor([re.compile(r"(?:a?){16}a{16}b")])
    clean = slow("\n".join(["first line", *["a" * 24] * 5000, "hunter2"]))
    assert clean.startswith("first line\n")
    assert clean.endswith(TOO_SLOW)
    assert "hunter2" not in clean


def test_a_users_pattern_is_found_anywhere_in_a_long_line() -> None:
    """Also where two pieces of the line meet."""
    redact = Redactor([re.compile("ACME-[0-9]+(?P<secret>x)?")])
    line = "".join(f"{'.' * 97}ACME-{number:06}" for number in range(200))
    assert "ACME" not in Redactor([re.compile("ACME-[0-9]+")])(line)
    assert redact(line) == line


def test_a_token_in_a_parameter_is_not_part_of_a_node_id() -> None:
    """Two tests that then look alike stay two, and the same test keeps its id."""
    first, second = (f"t.py::test[{tokens(random.Random(seed))['github']}-x]" for seed in (1, 2))
    assert node_name(first).startswith(f"t.py::test[{MASK}-x]~")
    assert node_name(first) == node_name(first) != node_name(second)
    assert node_name("t.py::test[plain-1]") == "t.py::test[plain-1]"


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


def test_the_context_holds_no_secret() -> None:
    """Neither in the address of the build, nor in what somebody put into a label."""
    token = tokens(random.Random(4))["github"]
    told = read({}, {"TESTBUS_LABELS": f"os=linux,api_token=hunter2,x={token[:40]}"})
    build = Build(ci="other", build_url=f"https://me:hunter2@ci.example/7?access_token={token}", branch=f"fix-{token}")
    known = begin(told, build, run="r")
    assert known["build_url"] == f"https://me:{MASK}@ci.example/7?access_token={MASK}"
    assert known["branch"] == f"fix-{MASK}"
    assert known["labels"] == {"os": "linux", "api_token": MASK, "x": MASK}
