"""The way to a server: TLS, what its answers mean, and what it means when nobody answers."""

from __future__ import annotations

import errno
import json
import re
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal.errors import (
    AlreadyFinishedError,
    AlreadyThereError,
    BlockedError,
    NotThereError,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_consumers.reportportal.settings import ReportPortalTarget

#: Error code of a finish of a launch that is not in progress.
_FINISHED: Final = 40023

#: Error codes of a launch, an item or a log that is not known.
_UNKNOWN: Final = frozenset({4041, 4043, 4044})

#: Error code of everything that ReportPortal did not expect.
_UNCLASSIFIED: Final = 5000

#: How the unique constraints on uuids end, in the text of such an error.
_UUID_TAKEN: Final = "_uuid_key"

#: What such an error says of data that the database will never take: trying again would never end.
_UNFIT: Final = ("value too long for type", "invalid byte sequence")

#: Status of a request that a gateway finds too large, whatever the form of its answer.
_TOO_LARGE: Final = 413

#: Statuses that say: the key does not open this project.
_CREDENTIALS: Final = frozenset({401, 403})

#: Statuses that refuse a request, in whatever form; those that speak of its size or the moment have their own.
_REFUSALS: Final = frozenset(range(400, 500)) - {408, 413, 425, 429}

#: How ReportPortal says that there is no such project: that concerns everything, not the one request.
_PROJECT_GONE: Final = re.compile(r"^Project '[^']*' not found", re.IGNORECASE)

#: Statuses below 500 that speak of the moment, not of the request.
_LATER: Final = frozenset({408, 425, 429})

#: Characters of an answer that a message quotes.
_QUOTED: Final = 300


def read(status: int, body: bytes, what: str, where: str) -> Any:
    """Return the JSON of a good answer.

    `what` names the request for people (`start item tests/test_a.py::test_b`), `where` the server and its project.
    Raises AlreadyThereError, AlreadyFinishedError, NotThereError or RefusedError for this request, and TargetDownError
    for what concerns every request: credentials, a wrong address, a server that cannot answer.
    """
    answer = _json(body)
    if status in range(200, 300):
        if answer is None:
            raise TargetDownError(
                f"{where} does not answer as ReportPortal does: is the endpoint right? {_quote(body)}"
            )
        return answer
    code = answer.get("errorCode") if isinstance(answer, dict) else None
    reason = str(answer.get("message", "")) if isinstance(answer, dict) else ""
    message = f"{what}: {status}/{code or '-'} {reason or _quote(body)}"[: 2 * _QUOTED]
    if status in _REFUSALS and not _is_own(answer):
        raise BlockedError(f"something before {where} answers in its place, a proxy or a firewall: {message}")
    if _PROJECT_GONE.search(reason):
        raise BlockedError(f"{where} does not know the project: is its name right, is it being made anew? {message}")
    if status in _CREDENTIALS:
        raise TargetDownError(
            f"{where} does not accept the API key ({status}): give the target a key of a member of that project"
        )
    if code == _UNCLASSIFIED and _UUID_TAKEN in reason:
        raise AlreadyThereError(message)
    if code == _FINISHED:
        raise AlreadyFinishedError(message)
    if code in _UNKNOWN:
        raise NotThereError(message)
    if _for_good(status, code, reason):
        raise RefusedError(message)
    raise TargetDownError(f"{where} cannot answer: {message}")


def _is_own(answer: Any) -> bool:
    """Tell whether a refusal is ReportPortal's: its service gives a code, its authorization a word."""
    return isinstance(answer, dict) and ("errorCode" in answer or "error" in answer)


def _for_good(status: int, code: int | None, reason: str) -> bool:
    """Tell whether the request can never be taken. A refusal without an error code is not ReportPortal's own."""
    if code == _UNCLASSIFIED:
        return any(words in reason for words in _UNFIT)
    return status == _TOO_LARGE or (status in range(400, 500) and status not in _LATER and code is not None)


def _quote(body: bytes) -> str:
    return " ".join(body[:_QUOTED].decode(errors="replace").split())


#: What to do about each reason for which a certificate is not believed; a part of OpenSSL's words for it.
_DISTRUSTED: Final = (
    ("expired", "the server needs a new certificate (or this machine's clock is wrong)"),
    ("not yet valid", "this machine's clock is wrong, or the certificate is for later"),
    ("ostname mismatch", "the certificate is for another name: give the endpoint the name that the certificate has"),
    ("IP address mismatch", "the certificate is not for that address: give the endpoint the name that it is for"),
    ("self-signed", "name the CA's certificate, or the server's own, in tls.ca_file"),
    ("self signed", "name the CA's certificate, or the server's own, in tls.ca_file"),
    ("unable to get", "name the CA's certificate in tls.ca_file, or let the server send its intermediate certificates"),
)

#: The same for everything else that TLS can fail of.
_NOT_ESTABLISHED: Final = (
    ("WRONG_VERSION_NUMBER", "no TLS is spoken there: is the port right, or the endpoint an http:// address?"),
    ("RECORD_LAYER_FAILURE", "no TLS is spoken there: is the port right, or the endpoint an http:// address?"),
    ("CERTIFICATE_REQUIRED", "the server wants a client's certificate: give tls.certificate and tls.key"),
    ("HANDSHAKE_FAILURE", "the server refused; if it wants a client's certificate, give tls.certificate and tls.key"),
    ("UNKNOWN_CA", "the server does not know the CA of tls.certificate"),
    ("PROTOCOL_VERSION", "the server offers no version of TLS that is still safe: TLS 1.2 or newer is needed"),
)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer of a server, whatever it says."""

    #: HTTP status.
    status: int
    headers: Mapping[str, str]
    #: The JSON of the body; None when it is none.
    json: Any
    #: Seconds since the epoch by our clock, in the middle between asking and being answered.
    at: float
    #: Seconds from asking to the answer.
    took_s: float


async def ask(session: aiohttp.ClientSession, url: str, key: str | None, where: str) -> Reply:
    """GET a URL, with a key if there is one; TargetDownError where nobody answers."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    began = time.time()
    try:
        async with await session.get(url, headers=headers, allow_redirects=False) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TargetDownError(f"{where} cannot be reached: {explained(error)}") from None
    took = time.time() - began
    return Reply(status=response.status, headers=response.headers, json=_json(body), at=began + took / 2, took_s=took)


def tls(settings: ReportPortalTarget, where: str) -> ssl.SSLContext | bool:
    """Return how certificates are checked: True for as Python does it. Raises TargetDownError for unusable files."""
    options = settings.tls
    if options.ca_file is None and options.certificate is None:
        return True
    file = options.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
        if options.certificate is not None:
            file = options.key or options.certificate
            # An encrypted key would make OpenSSL ask for its passphrase on the terminal.
            context.load_cert_chain(options.certificate, options.key, password=_no_passphrase)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, ssl.SSLError):
            reason = "it holds no certificate (or key) that fits, in PEM form and without a passphrase"
        raise TargetDownError(f"{where}: tls: {file} cannot be used: {reason}") from None
    return context


def explained(error: BaseException) -> str:
    """Return what went wrong on the way to a server, and what to do about it."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, TimeoutError):
        message = "no answer in time: it hangs, or something between drops packets, or timeout_s is too short"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        message = f"its certificate is not trusted: {reason}; {_hint(reason, _DISTRUSTED)}"
    elif isinstance(error, aiohttp.ClientSSLError) or (cause := _tls_cause(error)):
        reason = str(error if isinstance(error, aiohttp.ClientSSLError) else cause)
        message = f"TLS: {reason}; {_hint(reason, _NOT_ESTABLISHED)}"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        message = f"the name {error.host} is not known: is the endpoint right, and is there a DNS server for it here?"
    elif isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        message = f"nobody listens at {error.host}:{error.port}: is it down, or the port of the endpoint wrong?"
    elif isinstance(error, ConnectionResetError) or (isinstance(error, OSError) and error.errno == errno.ECONNRESET):
        message = (
            "it cut the connection: it is restarting, or something between refuses it, or it wants tls.certificate"
        )
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        message = "it closed the connection without an answer: it is restarting, or https:// is spoken at that port"
    return message


def _tls_cause(error: BaseException) -> BaseException | None:
    """Return the TLS alert behind an error, as servers send it after the handshake; None when there is none."""
    while error.__cause__ is not None:
        error = error.__cause__
        if isinstance(error, ssl.SSLError):
            return error
    return error if isinstance(error, ssl.SSLError) else None


def _hint(reason: str, table: tuple[tuple[str, str], ...]) -> str:
    found = reason.upper().replace(" ", "_")
    hints = (hint for words, hint in table if words in reason or words in found)
    return next(hints, "look at the server's certificate with openssl s_client -connect")


def _no_passphrase() -> str:
    return ""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
