"""Real services as fixtures: missing ones skip with reason and remedy, and fail where CI is `true`."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest
import redis

from harness import services
from harness.private_rabbitmq import PrivateRabbitMQ
from harness.processes import ServiceMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

#: What the reason of a skip for a missing service begins with.
MISSING: Final = "service missing: "

#: Fixtures that need a service.
FIXTURES: Final = frozenset(
    {"amqp_url", "own_amqp_url", "redis_url", "redis_prefix", "database_url", "private_rabbitmq", "module_rabbitmq"}
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a service, so that `-m 'not services'` leaves them out."""
    for item in items:
        if FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line how many tests did not run for want of a service."""
    skipped = [str(report.longrepr) for report in terminalreporter.getreports("skipped")]
    if count := sum(MISSING in reason for reason in skipped):
        terminalreporter.write_line(
            f"{count} test(s) skipped because a service is missing; the reasons are above, CI=true makes them errors",
            yellow=True,
        )


def _missing(error: ServiceMissingError) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{MISSING}{error}", pytrace=False)
    pytest.skip(f"{MISSING}{error}")


def _offered(find: Callable[[Path], AbstractContextManager[str]], folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(find(folder))
        except ServiceMissingError as error:
            _missing(error)
        yield url


@pytest.fixture(scope="session")
def amqp_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of an empty virtual host, this run's own."""
    yield from _offered(services.rabbitmq, tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="module")
def own_amqp_url(amqp_url: str) -> Iterator[str]:
    """Give the URL of an empty virtual host, this module's own: for whole deployments, whose queues outlive a test."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(services.virtual_host(amqp_url))
        except services.NoControlError:
            # Somebody gave a URL, and no way to add virtual hosts: the session's own has to do.
            url = amqp_url
        yield url


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the SQLAlchemy URL of a PostgreSQL, with a database that is this run's own."""
    yield from _offered(services.database, tmp_path_factory.mktemp("postgresql"))


@pytest.fixture(scope="module")
def database_url(postgresql_url: str) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database, this module's own: timers outlive those who set them."""
    with services.own_database(postgresql_url) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a Redis; use `redis_prefix` for keys."""
    yield from _offered(services.redis_server, tmp_path_factory.mktemp("redis"))


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """Give a prefix of keys, this test's own; they are deleted after it."""
    prefix = f"{services.unique('testbus-test-')}:"
    yield prefix
    with closing(redis.Redis.from_url(redis_url)) as client:
        for key in client.scan_iter(match=f"{prefix}*"):
            client.delete(key)


@pytest.fixture
def private_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., PrivateRabbitMQ]]:
    """Give a factory of running servers that the test may kill, hang and restart; they end with it."""
    yield from _servers(tmp_path_factory)


@pytest.fixture(scope="module")
def module_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., PrivateRabbitMQ]]:
    """Give a factory of running servers that end with the module."""
    yield from _servers(tmp_path_factory)


def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., PrivateRabbitMQ]]:
    with ExitStack() as stack:

        def start(**options: Any) -> PrivateRabbitMQ:
            try:
                server = PrivateRabbitMQ(tmp_path_factory.mktemp("private-rabbitmq"), **options)
            except ServiceMissingError as error:
                _missing(error)
            stack.callback(server.stop)
            server.start()
            return server

        yield start
