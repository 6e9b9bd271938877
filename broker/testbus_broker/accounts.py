"""Who may do what at the broker, as data (standard library only); `users` makes the accounts exist.

A right in RabbitMQ is a regular expression over names of exchanges and queues; on a topic exchange another one limits
the routing keys. The default exchange, through which a message goes straight to one queue, is `amq.default` there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from testbus_broker.connection import connected, endpoint, explain, is_loopback, redacted, tls_context
from testbus_broker.errors import AccountNameError, BrokerUrlError, PlaintextRefusedError, UsersError
from testbus_broker.message import EVENTS_EXCHANGE
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


#: What every account's name begins with.
PREFIX: Final = "testbus-"

#: What the name of a project's account begins with.
_RUNNER: Final = f"{PREFIX}runner-"

#: What the name of the account of a project's approvers begins with.
_APPROVER: Final = f"{PREFIX}approver-"

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
    #: Routing keys by which it may bind queues to `testbus.events`, where `topics` are limited.
    binds: str = NOTHING
    #: RabbitMQ's tags, for its management interface.
    tags: tuple[str, ...] = ()


def runner(project: str) -> Account:
    """Return the account of a project's runners: tells its own results and asks for verdicts, and nothing else.

    Raises AccountNameError for what is no project's name.
    """
    _require_project(project)
    return Account(
        name=f"{_RUNNER}{project}",
        purpose=f"runners of {project}",
        write=r"^testbus\.(events|requests)$",
        topics=rf"^({_names('producers')})\.{project}$",
    )


def approver(project: str) -> Account:
    """Return the account of those who may decide against a project's rules (waive, mute, …), and do nothing else.

    Raises AccountNameError for what is no project's name.
    """
    _require_project(project)
    return Account(
        name=f"{_APPROVER}{project}",
        purpose=f"people who may override rules of {project}",
        write=r"^testbus\.events$",
        topics=rf"^({_names('people')})\.{project}$",
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
        # What people acknowledge in Slack, a worker hears of.
        topics=rf"^({_names('consumers', 'people')})\.[a-z0-9-]+$",
    )


def operator(*, celery: bool = False) -> Account:
    """Return the account of operators: declares, replays, deals with dead letters, and overrides any project's rules.

    With `celery` it may also control workers by Celery's own tools.
    """
    more = f"|{CELERY}" if celery else ""
    return Account(
        name=f"{PREFIX}operator",
        purpose="people: declare, replay, dlq, events, overrides",
        configure=rf"^testbus\.{more}",
        write=rf"^(testbus\.(events$|stream$|queue\.|delay\.|dlq\.)|amq\.default$){more}",
        read=rf"^testbus\.{more}",
        topics=rf"^({_names('people')})\.[a-z0-9-]+$",
        # Declaring binds queues by patterns, and unbinds them.
        binds=".*",
    )


def monitor() -> Account:
    """Return the account of whoever only looks: depths of queues, and RabbitMQ's own management interface."""
    return Account(name=f"{PREFIX}monitor", purpose="status and RabbitMQ's metrics", tags=("monitoring",))


def accounts(projects: Iterable[str], approved: Iterable[str] = (), *, celery: bool = False) -> tuple[Account, ...]:
    """Return all accounts of a deployment with these projects, and approvers' of some.

    `celery`: Celery's own tools are switched on.

    Raises AccountNameError.
    """
    runners = (runner(project) for project in dict.fromkeys(projects))
    approvers = (approver(project) for project in dict.fromkeys(approved))
    return (operator(celery=celery), workers(celery=celery), monitor(), *runners, *approvers)


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
            {"user": one.name, "vhost": vhost, "exchange": EVENTS_EXCHANGE, "write": one.topics, "read": one.binds}
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
            made.append(["set_topic_permissions", "-p", vhost, one.name, EVENTS_EXCHANGE, one.topics, one.binds])
    return made


def _require_project(project: str) -> None:
    if not _PROJECT.fullmatch(project):
        raise AccountNameError(f"{project!r} is no project: write 1 to 64 of a-z, 0-9 and -")


def _names(*senders: str) -> str:
    """Return the names of the events that these senders publish, as alternatives of a regular expression."""
    names = (name for name, kind in EVENT_TYPES.items() if kind.sender in senders)
    return "|".join(sorted(re.escape(name) for name in names if name != _REQUESTED))


#: Seconds that the management interface, or rabbitmqctl, may take.
TIMEOUT_S: Final = 60.0

#: What is cut from the answers of others before they are shown.
_SHOWN: Final = 300

_UNAUTHORIZED: Final = (401, 403)


class UserState(StrEnum):
    """What became of an account."""

    #: It was not there, and is now.
    CREATED = "created"
    #: It was there; its rights, and the password that was given, are set.
    UPDATED = "updated"
    #: It was there; its rights are set, its password is what it was.
    KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class DeclaredUser:
    """One account, after it was declared."""

    account: Account
    #: What became of it.
    state: UserState
    #: The password that was made for it here: shown once, kept nowhere; None when it was given or is kept.
    password: str | None = None


class Admin(Protocol):
    """A way to administer a broker."""

    def existing(self) -> frozenset[str]:
        """Return the names of the accounts that there are."""

    def load(self, document: Mapping[str, Any]) -> None:
        """Merge definitions into what there is."""


def declare_users(
    admin: Admin, wanted: Sequence[Account], vhost: str, passwords: Mapping[str, str]
) -> tuple[DeclaredUser, ...]:
    """Make the accounts exist with just their rights; as often as you like.

    `passwords` by account name. A new account without one gets one that is made here; an old account keeps its own.
    Accounts that are no longer wanted are left alone. Raises UsersError.
    """
    there = admin.existing()
    made = {one.name: new_password() for one in wanted if one.name not in there and one.name not in passwords}
    given = {one.name: passwords[one.name] for one in wanted if one.name in passwords}
    document = definitions(wanted, vhost, made | given)
    # The virtual host is there, and loading it anew could change what is known of it.
    admin.load({key: value for key, value in document.items() if key != "vhosts"})
    return tuple(
        DeclaredUser(account=one, state=_state(one.name, there, given), password=made.get(one.name)) for one in wanted
    )


def _state(name: str, there: frozenset[str], given: Mapping[str, str]) -> UserState:
    if name not in there:
        return UserState.CREATED
    return UserState.UPDATED if name in given else UserState.KEPT


class _NoRedirect(HTTPRedirectHandler):
    """Follows nobody elsewhere: the login is for the host in the URL."""

    def redirect_request(self, *_request: Any) -> None:
        """Let a redirection be the error that it is here."""


class Management:
    """The HTTP interface of RabbitMQ's management plugin."""

    def __init__(self, url: str, *, allow_plaintext: bool = False) -> None:
        """Take `https://user:password@host:15671`, with `?cacertfile=` for an authority of your own.

        Raises BrokerUrlError, and PlaintextRefusedError for http to another machine unless `allow_plaintext`.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BrokerUrlError("the management URL cannot be read: write https://user:password@host:port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BrokerUrlError(f"{redacted(url)}: the management URL begins with https:// or http://, and a host")
        if parts.scheme == "http" and not allow_plaintext and not is_loopback(parts.hostname):
            raise PlaintextRefusedError(
                f"{redacted(url)} would send passwords in clear over the network: use https://, or allow plaintext "
                "explicitly if this network is trusted"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._base = f"{parts.scheme}://{host}" + (f":{port}" if port else "") + parts.path.rstrip("/")
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._login = "Basic " + base64.b64encode(login.encode()).decode()
        handlers: list[Any] = [ProxyHandler({}), _NoRedirect()]
        if parts.scheme == "https":
            handlers.append(HTTPSHandler(context=tls_context(url)))
        self._opener = build_opener(*handlers)

    def existing(self) -> frozenset[str]:
        """Return the names of the accounts that there are. Raises UsersError."""
        return frozenset(str(one["name"]) for one in json.loads(self._ask("users") or b"[]"))

    def load(self, document: Mapping[str, Any]) -> None:
        """Merge definitions into what there is. Raises UsersError."""
        self._ask("definitions", json.dumps(document).encode())

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"Authorization": self._login, "Content-Type": "application/json"}
        asked = Request(f"{self._base}/api/{quote(path)}", data=body, headers=headers)  # noqa: S310 scheme was checked
        try:
            with self._opener.open(asked, timeout=TIMEOUT_S) as answer:
                found: bytes = answer.read()
                return found
        except HTTPError as error:
            why = "user and password of an administrator are needed" if error.code in _UNAUTHORIZED else error.reason
            raise UsersError(f"{self._base} answered {error.code}: {why}") from None
        except (URLError, OSError, ValueError) as error:
            cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error
            raise UsersError(f"{self._base}: {explain(cause)}: is the management plugin enabled there?") from None


class Rabbitmqctl:
    """rabbitmqctl on the broker's own machine."""

    def __init__(self, url: str, *, allow_plaintext: bool = False) -> None:
        """Take the broker's URL, to be sure that rabbitmqctl controls that one. Raises UsersError when it does not."""
        found = shutil.which("rabbitmqctl")
        if found is None:
            raise UsersError(
                "AMQP cannot make accounts, and there is no rabbitmqctl here: set broker.management in the "
                "configuration, or load what `testbus broker users` prints"
            )
        self._program = found
        with connected(url, allow_plaintext=allow_plaintext) as connection:
            properties = connection._impl.server_properties or {}  # noqa: SLF001 nothing public has it
        theirs = _text(properties.get("cluster_name"))
        ours = json.loads(self._run("cluster_status", "--formatter", "json")).get("cluster_name")
        if theirs != ours:
            raise UsersError(
                f"rabbitmqctl controls {ours}, but {endpoint(url)} is {theirs}: run this on the broker's machine (its "
                "node by RABBITMQ_NODENAME), or set broker.management in the configuration"
            )

    def existing(self) -> frozenset[str]:
        """Return the names of the accounts that there are. Raises UsersError."""
        return frozenset(str(one["user"]) for one in json.loads(self._run("list_users", "--formatter", "json")))

    def load(self, document: Mapping[str, Any]) -> None:
        """Merge definitions into what there is. Raises UsersError."""
        self._run("import_definitions", "--format", "json", given=json.dumps(document))

    def _run(self, *arguments: str, given: str | None = None) -> str:
        command = [self._program, "--quiet", *arguments]
        try:
            done = subprocess.run(  # noqa: S603 found in PATH, arguments are ours
                command, input=given or "", capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsersError(f"rabbitmqctl {arguments[0]}: {type(error).__name__}") from None
        if done.returncode:
            why = " ".join((done.stderr or done.stdout).split())[:_SHOWN]
            raise UsersError(f"rabbitmqctl {arguments[0]} failed: {why}; run this as root, or as the user rabbitmq")
        return done.stdout


def _text(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else None
