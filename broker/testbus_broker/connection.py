"""Where the broker is and how to connect: bounded in time, encrypted off this machine, never showing the password."""

from __future__ import annotations

import logging
import math
import ssl
import threading
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import pika
from pika.adapters.utils.connection_workflow import (
    AMQPConnectorException,
    AMQPConnectorSocketConnectError,
    AMQPConnectorStackTimeout,
)
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AMQPHeartbeatTimeout,
    ChannelClosedByBroker,
    ConnectionBlockedTimeout,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from testbus_broker.errors import BrokerUrlError, ConnectFailedError, ConnectionLostError, PlaintextRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Depth(threading.local):
    """How many times this thread is muted."""

    value = 0


class _Muted(logging.Filter):
    """Drops what pika logs in a muted thread.

    pika resolves names in threads of its own (`_resolve`), so those are muted by the function's name.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not _depth.value and record.funcName != "_resolve"


_depth: Final = _Depth()
_muted: Final = _Muted()


@contextmanager
def without_pikas_log() -> Iterator[None]:
    """Mute pika in this thread: its log would land in the reports of whatever test runs, or on the screen.

    Nothing is lost: what went wrong is in the error that the caller gets. pika must have been imported before.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] == "pika" and isinstance(logger, logging.Logger):
            logger.addFilter(_muted)
    _depth.value += 1
    try:
        yield
    finally:
        _depth.value -= 1


#: Seconds between heartbeats that we ask for; a dead connection is noticed after about twice as many.
HEARTBEAT_S: Final = 30

#: Seconds that the TCP connection may take.
SOCKET_TIMEOUT_S: Final = 10.0

#: Seconds that TCP, TLS and AMQP may take together.
STACK_TIMEOUT_S: Final = 15.0

#: Bound from below of what a caller may ask for, in seconds.
SHORTEST_TIMEOUT_S: Final = 0.1

#: Seconds that the broker may keep a connection blocked (out of memory or disk) before it is given up.
BLOCKED_TIMEOUT_S: Final = 300.0

#: Query parameters of an amqps URL: files in PEM form, named as in RabbitMQ's own URI form.
TLS_FILES: Final = ("cacertfile", "certfile", "keyfile")

#: What it means when the connection ends before the broker has said anything.
_CUT_OFF: Final = "the connection was cut while logging in"

#: What errors mean, the more particular ones first.
_WORDS: Final[tuple[tuple[type[BaseException], Callable[[Any], str]], ...]] = (
    (
        ProbableAuthenticationError,
        lambda error: "the broker refused the user or the password" if is_permanent(error) else _CUT_OFF,
    ),
    (
        ProbableAccessDeniedError,
        lambda error: (
            "the broker refused the virtual host: does it exist, and may this user use it?"
            if is_permanent(error)
            else _CUT_OFF
        ),
    ),
    (ConnectionClosedByBroker, lambda error: f"{error.reply_code} {error.reply_text}"),
    (ChannelClosedByBroker, lambda error: f"{error.reply_code} {error.reply_text}"),
    (AMQPConnectorStackTimeout, lambda _: "no answer in time"),
    (AMQPConnectorSocketConnectError, lambda _: "no answer in time"),
    (AMQPHeartbeatTimeout, lambda _: "the broker fell silent"),
    (ConnectionBlockedTimeout, lambda _: "the broker kept the connection blocked"),
    (ConnectionRefusedError, lambda _: "connection refused: nothing listens there"),
    (ssl.SSLCertVerificationError, lambda error: f"TLS failed: {_untrusted(error)}"),
    (ssl.SSLError, lambda error: f"TLS failed: {error.reason or error}: does TLS listen on that port?"),
    (OSError, lambda error: error.strerror or str(error) or type(error).__name__),
)

#: OpenSSL's codes for a chain that ends with somebody whom we do not know (X509_V_ERR_…).
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})

_PORTS: Final = {"amqp": 5672, "amqps": 5671}


def parameters(url: str, *, allow_plaintext: bool = False, name: str = "testbus") -> pika.ConnectionParameters:
    """Return pika's parameters for `amqp(s)://user:password@host:port/vhost`.

    amqps verifies the broker's certificate against the system's authorities, or those in `?cacertfile=`; `certfile`
    and `keyfile` present one of our own. `name` is shown in the broker's list of connections.
    Raises BrokerUrlError, and PlaintextRefusedError for amqp to another machine unless `allow_plaintext`.
    """
    parts, port = _split(url)
    host = parts.hostname or "localhost"
    if parts.scheme == "amqp" and not allow_plaintext and not is_loopback(host):
        raise PlaintextRefusedError(
            f"{redacted(url)} would send the password in clear over the network: use amqps://, or allow plaintext "
            "explicitly if this network is trusted"
        )
    return pika.ConnectionParameters(
        host=host,
        port=port,
        virtual_host=_vhost(parts),
        credentials=pika.PlainCredentials(unquote(parts.username or "guest"), unquote(parts.password or "guest")),
        ssl_options=pika.SSLOptions(tls_context(url), host) if parts.scheme == "amqps" else None,
        heartbeat=HEARTBEAT_S,
        blocked_connection_timeout=BLOCKED_TIMEOUT_S,
        socket_timeout=SOCKET_TIMEOUT_S,
        stack_timeout=STACK_TIMEOUT_S,
        connection_attempts=1,
        client_properties={"connection_name": name},
    )


def redacted(url: str) -> str:
    """Return the URL with its password replaced, for logs and messages."""
    scheme, slashes, rest = url.partition("://")
    # The last @ ends the password, also of one that was not escaped and makes the URL unreadable.
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}:***@{place}" if at and colon else url


def endpoint(url: str) -> str:
    """Return `host:port/vhost`, which is what a person needs to know of a URL."""
    parts, port = _split(url)
    return f"{parts.hostname or 'localhost'}:{port}/{_vhost(parts).removeprefix('/')}"


@contextmanager
def connected(
    url: str, *, allow_plaintext: bool = False, timeout: float | None = None, heartbeat: int = HEARTBEAT_S
) -> Iterator[Any]:
    """Connect for a while and give pika's BlockingConnection.

    `timeout` bounds in seconds what connecting takes, how long the broker may block us, and about how long it may be
    silent. For commands, not for publishing: nothing may keep the caller busy for longer than two heartbeats meanwhile.
    Raises BrokerUrlError, ConnectFailedError, and ConnectionLostError when the connection breaks while it is used.
    """
    wanted = parameters(url, allow_plaintext=allow_plaintext)
    wanted.heartbeat = heartbeat
    if timeout is not None:
        wanted.stack_timeout = wanted.blocked_connection_timeout = max(timeout, SHORTEST_TIMEOUT_S)
        wanted.socket_timeout = min(wanted.socket_timeout, wanted.stack_timeout)
        wanted.heartbeat = min(heartbeat, math.ceil(wanted.stack_timeout))
    with without_pikas_log():
        try:
            connection = pika.BlockingConnection(wanted)
        except (AMQPError, AMQPConnectorException, OSError) as error:
            raise ConnectFailedError(f"cannot connect to {endpoint(url)}: {explain(error)}") from error
        try:
            yield connection
        except (AMQPConnectionError, OSError) as error:
            raise ConnectionLostError(f"the connection to {endpoint(url)} was lost: {explain(error)}") from error
        finally:
            with suppress(AMQPError):
                connection.close()


def explain(error: BaseException) -> str:
    """Return what went wrong between us and the broker, in a few words, for people."""
    for cause in _causes(error):
        for kind, words in _WORDS:
            if isinstance(cause, kind):
                return words(cause)
    return str(error) or type(error).__name__


def is_permanent(error: BaseException) -> bool:
    """Tell whether connecting again cannot help: the broker knows us and refuses.

    pika takes every end of a connection that is not open yet for a refusal, and keeps what ended it as text only: a
    broker that refuses says so, one that is just going down does not.
    """
    probable = isinstance(error, (ProbableAuthenticationError, ProbableAccessDeniedError))
    return probable and ConnectionClosedByBroker.__name__ in str(error)


def account(url: str) -> str:
    """Return the name that the URL logs in with."""
    return unquote(_split(url)[0].username or "guest")


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # What the error says could hold a part of the password.
        raise BrokerUrlError("the broker's URL cannot be read: write amqps://user:password@host:port/vhost") from None
    if parts.scheme == "file":
        raise BrokerUrlError(
            "file:// is the embedded pipeline, which has neither broker nor workers: `testbus run` and `testbus drain` "
            "do its work; a broker's URL begins with amqps:// or amqp://"
        )
    if parts.scheme not in _PORTS:
        # Of what is no address nobody knows which part of it is secret.
        raise BrokerUrlError("the broker's URL begins with amqps:// or amqp://, and this one does not")
    return parts, port or _PORTS[parts.scheme]


def _vhost(parts: SplitResult) -> str:
    return unquote(parts.path[1:]) or "/"


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_files(url: str) -> dict[str, str]:
    """Return the files that the URL names, by `TLS_FILES`. Raises BrokerUrlError for any other parameter."""
    files = dict(parse_qsl(urlsplit(url).query))
    if unknown := sorted(set(files) - set(TLS_FILES)):
        raise BrokerUrlError(f"{redacted(url)}: unknown parameter {unknown[0]!r}; there are {', '.join(TLS_FILES)}")
    return files


def tls_context(url: str) -> ssl.SSLContext:
    """Return what verifies the other side's certificate and host name. Raises BrokerUrlError."""
    files = tls_files(url)
    try:
        context = ssl.create_default_context(cafile=files.get("cacertfile"))
        if "certfile" in files:
            context.load_cert_chain(files["certfile"], files.get("keyfile"))
    except OSError as error:
        raise BrokerUrlError(f"{redacted(url)}: a certificate cannot be used: {error}") from error
    return context


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    """Return why a certificate was refused, and what helps."""
    reason = error.verify_message.rstrip(".")
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"{reason}: for an authority of your own add ?cacertfile=/path/ca.pem to the URL"
    return f"{reason}: the broker needs another certificate, or the URL another host"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error of pika's connection workflow wraps, innermost first, then itself."""
    inner = [*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args, error.__cause__]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _causes(cause)
    yield error
