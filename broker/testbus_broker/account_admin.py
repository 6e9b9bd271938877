"""Making accounts exist at the broker.

AMQP knows no accounts. Definitions go in through RabbitMQ's management interface, or through the rabbitmqctl of the
machine that the broker runs on; both take the same document.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from testbus_broker.accounts import definitions, new_password
from testbus_broker.connection import connected, endpoint, explain, is_loopback, redacted, tls_context
from testbus_broker.errors import BrokerUrlError, PlaintextRefusedError, UsersError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbus_broker.accounts import Account

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

    #: The account.
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
            said = "user and password of an administrator are needed" if error.code in _UNAUTHORIZED else error.reason
            raise UsersError(f"{self._base} answered {error.code}: {said}") from None
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
            said = " ".join((done.stderr or done.stdout).split())[:_SHOWN]
            raise UsersError(f"rabbitmqctl {arguments[0]} failed: {said}; run this as root, or as the user rabbitmq")
        return done.stdout


def _text(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else None
