"""The services themselves: found, started from PATH, or missed aloud."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from sqlalchemy import make_url

from harness import services
from harness.private_rabbitmq import answers_amqp
from harness.processes import ServiceMissingError

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path


def test_redis_keeps_what_it_is_given(redis_url: str, redis_prefix: str) -> None:
    """A Redis is there, and this test's keys are its own."""
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.set(f"{redis_prefix}key", "value")
        assert client.get(f"{redis_prefix}key") == b"value"


def test_postgresql_has_an_empty_database(database_url: str) -> None:
    """A PostgreSQL is there, with a database of this run's own."""
    url = make_url(database_url)
    assert url.drivername == "postgresql+psycopg"
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (url.database,)


def test_services_are_started_from_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none listens on the default port, private ones are started and give the same."""
    monkeypatch.setattr(services, "DEFAULT_REDIS", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(services, "DEFAULT_DATABASES", ())
    for variable in ("TESTBUS_TEST_REDIS_URL", "TESTBUS_TEST_DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    try:
        with services.redis_server(tmp_path) as redis_url, services.database(tmp_path) as database_url:
            assert ":1/" not in redis_url
            test_postgresql_has_an_empty_database(database_url)
    except ServiceMissingError as error:
        pytest.skip(f"service missing: {error}")


def test_a_rabbitmq_that_was_started_from_path_has_virtual_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each module of tests has one of its own there, too."""
    monkeypatch.setattr(services, "DEFAULT_AMQP", "amqp://127.0.0.1:1/%2F")
    monkeypatch.delenv("TESTBUS_TEST_AMQP_URL", raising=False)
    try:
        with services.rabbitmq(tmp_path) as url:
            with services.virtual_host(url) as own:
                assert own != url
                assert answers_amqp(own)
            assert not answers_amqp(own)
    except ServiceMissingError as error:
        pytest.skip(f"service missing: {error}")


def run_with_a_missing_redis(ci: str) -> subprocess.CompletedProcess[str]:
    """Run the Redis test above where no Redis is."""
    test = f"{__file__}::{test_redis_keeps_what_it_is_given.__name__}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, "TESTBUS_TEST_REDIS_URL": "redis://127.0.0.1:1/0", "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_service_skips_aloud() -> None:
    """Locally the test is skipped with reason and remedy, and the last lines count it."""
    done = run_with_a_missing_redis("")
    assert done.returncode == 0
    assert "service missing: no Redis at TESTBUS_TEST_REDIS_URL: start it, or correct the URL" in done.stdout
    assert "1 test(s) skipped because a service is missing" in done.stdout


def test_a_missing_service_fails_in_ci() -> None:
    """With CI=true the same is an error."""
    done = run_with_a_missing_redis("true")
    assert done.returncode == 1
    assert "service missing: no Redis at TESTBUS_TEST_REDIS_URL" in done.stdout
