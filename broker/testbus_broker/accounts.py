"""Who may do what at the broker, as data (standard library only); `users` makes the accounts exist.

A right in RabbitMQ is a regular expression over names of exchanges and queues; on a topic exchange another one limits
the routing keys. The default exchange, through which a message goes straight to one queue, is `amq.default` there.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from testbus_broker.errors import AccountNameError
from testbus_broker.message import EVENTS_EXCHANGE
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What every account's name begins with.
PREFIX: Final = "testbus-"

#: What the name of a project's account begins with.
_RUNNER: Final = f"{PREFIX}runner-"

#: What the names of exchanges and queues of Celery's remote control and task events hold.
CELERY: Final = r"(^|\.)testbus\.celery\."

#: Matches no name.
NOTHING: Final = "^$"

#: How RabbitMQ hashes passwords by default: base64 of a salt of 4 bytes and the SHA-256 of salt and password.
HASHING: Final = "rabbit_password_hashing_sha256"

_SALT_BYTES: Final = 4

#: Bytes of randomness in a password that is made here.
_PASSWORD_BYTES: Final = 24

_PROJECT: Final = re.compile(r"[a-z0-9-]{1,64}")

#: Asked for at an exchange of its own, so no right on the exchange of events is needed for it.
_REQUESTED: Final = "verdict.requested"


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account, and all that it may do in its virtual host."""

    #: Name to log in with.
    name: str
    #: Whom it is for, in a few words.
    purpose: str
    #: What it may declare and delete.
    configure: str = NOTHING
    #: What it may publish to, and bind.
    write: str = NOTHING
    #: What it may consume, purge, and bind from.
    read: str = NOTHING
    #: Routing keys that it may publish to `testbus.events`; None: those that `write` allows.
    topics: str | None = None
    #: RabbitMQ's tags, for its management interface.
    tags: tuple[str, ...] = ()


def runner(project: str) -> Account:
    """Return the account of a project's runners: tells its own results and asks for verdicts, and nothing else.

    Raises AccountNameError for what is no project's name.
    """
    if not _PROJECT.fullmatch(project):
        raise AccountNameError(f"{project!r} is no project: write 1 to 64 of a-z, 0-9 and -")
    return Account(
        name=f"{_RUNNER}{project}",
        purpose=f"runners of {project}",
        write=r"^testbus\.(events|requests)$",
        topics=rf"^({_names(from_producers=True)})\.{project}$",
    )


def project_of(account: str) -> str | None:
    """Return the project whose runners have this account, None for every other account."""
    return account.removeprefix(_RUNNER) if account.startswith(_RUNNER) else None


def workers(*, celery: bool = False) -> Account:
    """Return the account of consumers' workers: consumes, puts off, gives up, answers, tells what it decided.

    With `celery` it may also answer Celery's remote control and publish task events.
    """
    more = f"|{CELERY}" if celery else ""
    return Account(
        name=f"{PREFIX}workers",
        purpose="workers of all consumers",
        configure=CELERY if celery else NOTHING,
        write=rf"^(testbus\.events|amq\.default)${more}",
        read=rf"^testbus\.queue\.{more}",
        topics=rf"^({_names(from_producers=False)})\.[a-z0-9-]+$",
    )


def operator(*, celery: bool = False) -> Account:
    """Return the account of operators: declares, replays, and deals with dead letters; publishes no event anew.

    With `celery` it may also control workers by Celery's own tools.
    """
    more = f"|{CELERY}" if celery else ""
    return Account(
        name=f"{PREFIX}operator",
        purpose="people: declare, replay, dlq, events",
        configure=rf"^testbus\.{more}",
        write=rf"^(testbus\.(stream$|queue\.|delay\.|dlq\.)|amq\.default$){more}",
        read=rf"^testbus\.{more}",
    )


def monitor() -> Account:
    """Return the account of whoever only looks: depths of queues, and RabbitMQ's own management interface."""
    return Account(name=f"{PREFIX}monitor", purpose="status and RabbitMQ's metrics", tags=("monitoring",))


def accounts(projects: Iterable[str], *, celery: bool = False) -> tuple[Account, ...]:
    """Return all accounts of a deployment with these projects; `celery`: Celery's own tools are switched on.

    Raises AccountNameError.
    """
    runners = (runner(project) for project in dict.fromkeys(projects))
    return (operator(celery=celery), workers(celery=celery), monitor(), *runners)


def new_password() -> str:
    """Return a password that nobody guesses, and that fits a URL as it is."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """Return a password as RabbitMQ keeps it (see `HASHING`); the salt is random unless it is given."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(wanted: Iterable[Account], vhost: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    """Return RabbitMQ's definitions of these accounts, as JSON data.

    `passwords` by account name; an account without one is taken to exist, and only its rights are set.
    """
    everybody = tuple(wanted)
    return {
        "users": [
            {
                "name": one.name,
                "password_hash": password_hash(passwords[one.name]),
                "hashing_algorithm": HASHING,
                "tags": list(one.tags),
            }
            for one in everybody
            if one.name in passwords
        ],
        "vhosts": [{"name": vhost}],
        "permissions": [
            {"user": one.name, "vhost": vhost, "configure": one.configure, "write": one.write, "read": one.read}
            for one in everybody
        ],
        "topic_permissions": [
            {"user": one.name, "vhost": vhost, "exchange": EVENTS_EXCHANGE, "write": one.topics, "read": NOTHING}
            for one in everybody
            if one.topics is not None
        ],
    }


def commands(wanted: Iterable[Account], vhost: str) -> list[list[str]]:
    """Return the same as arguments of rabbitmqctl; `add_user` asks for the password, so none is in them."""
    made = []
    for one in wanted:
        made.append(["add_user", one.name])
        if one.tags:
            made.append(["set_user_tags", one.name, *one.tags])
        made.append(["set_permissions", "-p", vhost, one.name, one.configure, one.write, one.read])
        if one.topics is not None:
            made.append(["set_topic_permissions", "-p", vhost, one.name, EVENTS_EXCHANGE, one.topics, NOTHING])
    return made


def _names(*, from_producers: bool) -> str:
    """Return the names of the events that one side publishes, as alternatives of a regular expression."""
    names = (name for name, kind in EVENT_TYPES.items() if kind.from_producers is from_producers)
    return "|".join(sorted(re.escape(name) for name in names if name != _REQUESTED))
