"""Real RabbitMQ, Redis and PostgreSQL for tests: found by URL or on their default port, else started from PATH.

Test processes side by side start a RabbitMQ each: one that makes and deletes several virtual hosts at once answers
nobody for seconds. Whatever is found is shared with others: tests get a virtual host, a database and a key prefix of
their own, and nothing shared is ever restarted. Whatever is started here ends here, by its process id.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from harness.private_postgresql import PrivatePostgreSQL, answers_sql, libpq
from harness.private_rabbitmq import PrivateRabbitMQ, answers_amqp, startable
from harness.private_redis import PrivateRedis, answers_redis
from harness.processes import START_S, ServiceMissingError, executable, unique
from harness.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Where services are looked for when no URL is given.
DEFAULT_AMQP: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"
DEFAULT_REDIS: Final = "redis://127.0.0.1:6379/0"
DEFAULT_DATABASES: Final = (
    "postgresql+psycopg://root@127.0.0.1:5432/postgres",
    "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
)


#: The RabbitMQs that were started here, by their port.
_STARTED: Final[dict[int | None, PrivateRabbitMQ]] = {}


class NoControlError(Exception):
    """The RabbitMQ that was found is not one that rabbitmqctl can control."""


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Give the URL of a virtual host of our own; `folder` is for a private server's data.

    With TESTBUS_TEST_AMQP_URL and no rabbitmqctl for it, the virtual host in that URL is used as it is.
    """
    given = os.environ.get("TESTBUS_TEST_AMQP_URL")
    url = given or DEFAULT_AMQP
    beside_others = "PYTEST_XDIST_WORKER" in os.environ
    if not given and (not answers_amqp(url) or (beside_others and startable())):
        yield from _started(folder)
    elif given and not answers_amqp(url):
        raise ServiceMissingError("no RabbitMQ at TESTBUS_TEST_AMQP_URL: start it, or correct the URL")
    else:
        with ExitStack() as stack:
            try:
                own = stack.enter_context(virtual_host(url))
            except NoControlError as error:
                if not given:
                    raise ServiceMissingError(f"RabbitMQ runs, but {error}: set TESTBUS_TEST_AMQP_URL") from error
                own = given
            yield own


def _started(folder: Path) -> Iterator[str]:
    server = PrivateRabbitMQ(folder, management=True)
    server.start()
    port = urlsplit(server.url).port
    _STARTED[port] = server
    try:
        yield server.url
    finally:
        del _STARTED[port]
        server.stop()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Give the URL of a Redis; keys must begin with a prefix of their own."""
    given = os.environ.get("TESTBUS_TEST_REDIS_URL")
    if answers_redis(given or DEFAULT_REDIS):
        yield given or DEFAULT_REDIS
        return
    if given:
        raise ServiceMissingError("no Redis at TESTBUS_TEST_REDIS_URL: start it, or correct the URL")
    server = PrivateRedis(folder)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty PostgreSQL database of our own, which is dropped at the end."""
    given = os.environ.get("TESTBUS_TEST_DATABASE_URL")
    for url in [given] if given else DEFAULT_DATABASES:
        if answers_sql(url):
            with own_database(url) as own:
                yield own
            return
    if given:
        raise ServiceMissingError("no PostgreSQL at TESTBUS_TEST_DATABASE_URL: start it, or correct the URL")
    server = PrivatePostgreSQL(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@contextmanager
def virtual_host(url: str) -> Iterator[str]:
    """Give the URL of an empty virtual host at the same server, which is deleted at the end; NoControlError."""
    parts = urlsplit(url)
    name = unique("testbus-test-")
    started = _STARTED.get(parts.port)
    if started:
        started.add_virtual_host(name)
    else:
        _add_virtual_host(name, parts.username or "guest")
    try:
        own = parts._replace(path=f"/{quote(name)}").geturl()
        # RabbitMQ 3.10 may accept nobody for half a minute after virtual hosts with connections were deleted.
        wait_until(lambda: answers_amqp(own), START_S, "RabbitMQ answers in the new virtual host")
        yield own
    finally:
        if started:
            started.delete_virtual_host(name)
        else:
            _control("delete_vhost", name)


def _add_virtual_host(name: str, user: str) -> None:
    try:
        _control("add_vhost", name)
    except (ServiceMissingError, subprocess.SubprocessError) as error:
        raise NoControlError(f"rabbitmqctl cannot add a virtual host ({error})") from error
    _control("set_permissions", "-p", name, user, ".*", ".*", ".*")


def _control(*arguments: str) -> None:
    command = [executable("rabbitmqctl", "RabbitMQ"), "--quiet", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=START_S)


@contextmanager
def own_database(url: str) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database at the same server, which is dropped at the end."""
    name = unique("testbus_test_")
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(url).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(libpq(url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
