"""Settings: from the environment and the command line, with errors that say what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbus_producers import settings
from testbus_producers.errors import SettingError
from testbus_producers.settings import ShardOf


def test_everything_can_be_told_by_the_environment() -> None:
    """Each variable arrives in its field."""
    told = settings.read(
        environ={
            "TESTBUS_URL": "amqps://me:secret@broker.example:5671/ci",
            "TESTBUS_PROJECT": "shop",
            "TESTBUS_RUN_ID": "run-1",
            "TESTBUS_SUITE": "unit",
            "TESTBUS_STAGE": "smoke",
            "TESTBUS_COMPONENT": "api",
            "TESTBUS_VARIANT": "py312",
            "TESTBUS_SHARD": "2/4",
            "TESTBUS_SPOOL": "/tmp/spool",
            "TESTBUS_SPOOL_MAX_MB": "3",
            "TESTBUS_EXIT_TIMEOUT": "0.5",
            "TESTBUS_HEARTBEAT": "12",
            "TESTBUS_LABELS": "os=linux, browser=firefox",
            "TESTBUS_BASE": "main",
            "TESTBUS_OUTPUT": "all",
            "TESTBUS_ALLOW_PLAINTEXT": "1",
            "TESTBUS_REDACT": "acme-[0-9]+\nother",
            "TESTBUS_PATHS": "/app/src=src, /builds/*=.",
            "TESTBUS_TIMEZONE": "Europe/Berlin",
        }
    )
    assert told.shard == ShardOf(index=2, total=4)
    assert told.spool == Path("/tmp/spool")
    assert told.spool_max_bytes == 3 * 1024 * 1024
    assert told.allow_plaintext
    assert told.exit_timeout_s == 0.5
    assert told.heartbeat_s == 12
    assert told.labels == {"os": "linux", "browser": "firefox"}
    assert [pattern.pattern for pattern in told.redact] == ["acme-[0-9]+", "other"]
    assert [told.paths.apply(path) for path in ("/app/src/a.c", "/builds/7/b.c", "/c.c")] == ["src/a.c", "b.c", None]
    assert str(told.timezone) == "Europe/Berlin"
    assert (told.project, told.run, told.suite, told.stage) == ("shop", "run-1", "unit", "smoke")
    assert (told.component, told.variant, told.base, told.output) == ("api", "py312", "main", "all")


def test_an_empty_variable_is_as_good_as_none() -> None:
    """A secret that a fork's pull request does not get is empty, not wrong."""
    told = settings.read(environ={"TESTBUS_URL": " ", "TESTBUS_SHARD": ""})
    assert told.url is None
    assert told.shard is None


def test_an_option_wins_over_its_variable() -> None:
    """What is on the command line holds."""
    told = settings.read({"TESTBUS_SUITE": "e2e", "TESTBUS_STAGE": None}, {"TESTBUS_SUITE": "x", "TESTBUS_STAGE": "y"})
    assert (told.suite, told.stage) == ("e2e", "y")


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("TESTBUS_URL", "http://x", "amqp"),
        ("TESTBUS_URL", "amqp://", "amqp"),
        ("TESTBUS_URL", "amqp://h:port/", "amqp"),
        ("TESTBUS_PROJECT", "My Shop", "a-z"),
        ("TESTBUS_RUN_ID", "x" * 257, "256"),
        ("TESTBUS_SHARD", "5/4", "2/4"),
        ("TESTBUS_SHARD", "0", "2/4"),
        ("TESTBUS_SPOOL_MAX_MB", "many", "MiB"),
        ("TESTBUS_EXIT_TIMEOUT", "-1", "seconds"),
        ("TESTBUS_EXIT_TIMEOUT", "soon", "seconds"),
        ("TESTBUS_HEARTBEAT", "0", "1 to 3600"),
        ("TESTBUS_LABELS", "linux", "os=linux"),
        ("TESTBUS_OUTPUT", "some", "failed"),
        ("TESTBUS_ALLOW_PLAINTEXT", "perhaps", "1 or 0"),
        ("TESTBUS_REDACT", "(", "regular expressions"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_the_allowed_form(variable: str, value: str, allowed: str) -> None:
    """The error says which variable, and what may be written there."""
    with pytest.raises(SettingError, match=variable) as caught:
        settings.read(environ={variable: value})
    assert allowed in str(caught.value)


def test_a_bad_url_is_refused_without_showing_its_password() -> None:
    """The password stays out of the error."""
    with pytest.raises(SettingError) as caught:
        settings.read(environ={"TESTBUS_URL": "https://me:hunter2@broker/"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("amqp://guest:guest@localhost/", "localhost:5672"),
        ("amqps://u:p@broker.example/ci", "broker.example:5671"),
        ("file:///var/testbus", "/var/testbus"),
    ],
)
def test_the_place_of_a_url_is_shown_without_credentials(url: str, place: str) -> None:
    """People see host and port, or the folder."""
    assert settings.place(url) == place


@pytest.mark.parametrize("value", ["UTC", "+02:00", "-0330", "America/New_York"])
def test_zones_are_names_or_offsets(value: str) -> None:
    """As people and tools write them."""
    assert settings.read({"TESTBUS_TIMEZONE": value}, {}).timezone is not None


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TESTBUS_TIMEZONE", "Middle/Earth", "timezone='Middle/Earth': expected a zone as UTC, Europe/Berlin or"),
        ("TESTBUS_TIMEZONE", "../../etc/passwd", "expected a zone"),
        ("TESTBUS_TIMEZONE", "+25:00", "expected a zone"),
        ("TESTBUS_PATHS", "/app/src", "paths='/app/src': expected a folder and the one of the repository that it is"),
        ("TESTBUS_PATHS", "=src", "expected a folder"),
    ],
)
def test_a_zone_or_a_path_rule_that_is_none_is_refused(variable: str, value: str, expected: str) -> None:
    """With the option and what should be there."""
    with pytest.raises(SettingError) as caught:
        settings.read({variable: value}, {})
    assert expected in str(caught.value)
