"""Real RabbitMQ, Redis and PostgreSQL for tests: found by URL or on their default port, else started from PATH.

Whatever is found is shared with others: tests get a virtual host, a database and a key prefix of their own, and nothing
shared is ever restarted. Whatever is started here ends here, by its process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from tests.private_rabbitmq import PrivateRabbitMQ, answers_amqp
from tests.processes import START_S, ServiceMissingError, executable, free_port, running, unique
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Where services are looked for when no URL is given.
DEFAULT_AMQP: Final = "amqp://guest:guest@127.0.0.1:5672/%2F"
DEFAULT_REDIS: Final = "redis://127.0.0.1:6379/0"
DEFAULT_DATABASES: Final = (
    "postgresql+psycopg://root@127.0.0.1:5432/postgres",
    "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
)


class NoControlError(Exception):
    """The RabbitMQ that was found is not one that rabbitmqctl can control."""


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Give the URL of a virtual host of our own; `folder` is for a private server's data.

    With TESTBUS_TEST_AMQP_URL and no rabbitmqctl for it, the virtual host in that URL is used as it is.
    """
    given = os.environ.get("TESTBUS_TEST_AMQP_URL")
    url = given or DEFAULT_AMQP
    if answers_amqp(url):
        with ExitStack() as stack:
            try:
                own = stack.enter_context(virtual_host(url))
            except NoControlError as error:
                if not given:
                    raise ServiceMissingError(f"RabbitMQ runs, but {error}: set TESTBUS_TEST_AMQP_URL") from error
                own = given
            yield own
    elif given:
        raise ServiceMissingError("no RabbitMQ at TESTBUS_TEST_AMQP_URL: start it, or correct the URL")
    else:
        server = PrivateRabbitMQ(folder)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Give the URL of a Redis; keys must begin with a prefix of their own."""
    given = os.environ.get("TESTBUS_TEST_REDIS_URL")
    if _answers_redis(given or DEFAULT_REDIS):
        yield given or DEFAULT_REDIS
        return
    if given:
        raise ServiceMissingError("no Redis at TESTBUS_TEST_REDIS_URL: start it, or correct the URL")
    port = free_port()
    command = [executable("redis-server", "Redis"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--dir", str(folder)]):
        url = f"redis://127.0.0.1:{port}/0"
        wait_until(lambda: _answers_redis(url), START_S, "the private Redis answers")
        yield url


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty PostgreSQL database of our own, which is dropped at the end."""
    given = os.environ.get("TESTBUS_TEST_DATABASE_URL")
    for url in [given] if given else DEFAULT_DATABASES:
        if _answers_sql(url):
            with _own_database(url) as own:
                yield own
            return
    if given:
        raise ServiceMissingError("no PostgreSQL at TESTBUS_TEST_DATABASE_URL: start it, or correct the URL")
    with _private_postgresql(folder) as url, _own_database(url) as own:
        yield own


@contextmanager
def virtual_host(url: str) -> Iterator[str]:
    """Give the URL of an empty virtual host at the same server, which is deleted at the end; NoControlError."""
    parts = urlsplit(url)
    name = unique("testbus-test-")
    try:
        _control("add_vhost", name)
    except (ServiceMissingError, subprocess.SubprocessError) as error:
        raise NoControlError(f"rabbitmqctl cannot add a virtual host ({error})") from error
    try:
        _control("set_permissions", "-p", name, parts.username or "guest", ".*", ".*", ".*")
        yield parts._replace(path=f"/{quote(name)}").geturl()
    finally:
        _control("delete_vhost", name)


def _control(*arguments: str) -> None:
    command = [executable("rabbitmqctl", "RabbitMQ"), "--quiet", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=START_S)


def _answers_redis(url: str) -> bool:
    with suppress(redis.RedisError), closing(redis.Redis.from_url(url, socket_timeout=3)) as client:
        return bool(client.ping())
    return False


def _answers_sql(url: str) -> bool:
    with suppress(psycopg.Error), psycopg.connect(_libpq(url), connect_timeout=3):
        return True
    return False


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    name = unique("testbus_test_")
    with psycopg.connect(_libpq(url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(url).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(_libpq(url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _private_postgresql(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL in a folder; as root it runs as the user postgres, because it refuses root."""
    initdb, postgres = executable("initdb", "PostgreSQL"), executable("postgres", "PostgreSQL")
    account: Mapping[str, Any] = {}
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            raise ServiceMissingError("PostgreSQL does not run as root: run the tests as another user") from None
        account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    # Below the system's folder for such things: those of pytest are closed to other users.
    data = Path(f"/tmp/{unique('testbus-postgresql-')}") if account else folder / "data"
    data.mkdir(mode=0o700)
    try:
        if account:
            shutil.chown(data, account["user"], account["group"])
        port = free_port()
        subprocess.run(
            [initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"],
            check=True, capture_output=True, cwd="/", **account,
        )  # fmt: skip
        command = [postgres, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", ""]
        with running(command, cwd="/", **account):
            url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
            wait_until(lambda: _answers_sql(url), START_S, "the private PostgreSQL answers")
            yield url
    finally:
        shutil.rmtree(data, ignore_errors=True)
