"""What an answer of Jira means: one table, from status to what is to be done."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import requests
from jira.exceptions import JIRAError
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from testbus_consumers.errors import TargetDownError
from testbus_consumers.jira.errors import BlockedError, DeniedError, RateLimitedError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What is done when an issue is created.
CREATE: Final = "create an issue"

#: HTTP statuses by which something is refused.
_REFUSALS: Final = frozenset(range(400, 500)) - {408, 429}

#: Headers of Jira's own that come with pages: Data Center refuses a log-in with one.
_LOG_IN: Final = ("X-Seraph-LoginReason", "X-Authentication-Denied-Reason")

#: Seconds to wait when a rate limit does not say.
_UNSAID_S: Final = 30

#: Characters of an answer that a message tells.
_TOLD: Final = 500

#: HTTP statuses.
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER = 401, 403, 404, 429, 500

#: Those that may be others later: a time-out on the way, a conflict, an address or version that is not Jira's.
_PASSING: Final = frozenset({0, 408, 409, 410})

#: Field of a new issue → the setting that it comes from.
_SETTINGS: Final = {
    "project": "see consumers.jira.project",
    "issuetype": "see consumers.jira.issue_type",
    "labels": "see consumers.jira.labels",
}


@contextmanager
def sorted_out(what: str, where: str) -> Iterator[None]:
    """Turn everything that a call of the library can raise into the error that says what is to be done.

    Raises RefusedError, DeniedError, BlockedError, RateLimitedError, UnreachableError, TargetDownError.
    """
    try:
        yield
    except JIRAError as error:
        raise _meaning(error, what, where) from None
    except requests.RequestException as error:
        kind = UnreachableError if _never_sent(error) else TargetDownError
        raise kind(f"{what}: {where} cannot be reached: {type(error).__name__}") from None
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        # What the library makes of an answer that is not Jira's: the page of a proxy, or of a login.
        raise TargetDownError(f"{what}: {where} does not answer as Jira does: {type(error).__name__}") from None


def _meaning(error: JIRAError, what: str, where: str) -> Exception:
    status, response = int(error.status_code or 0), error.response
    body = _body(response)
    said = f"{what}: {where} answers {status}{_told(body)}"
    if status in _REFUSALS and not _is_jiras(response):
        return BlockedError(f"{said}: that is a page, and none of Jira's: a proxy or a firewall before it answers")
    if status == _UNAUTHORISED:
        return DeniedError(
            f"{said}: it does not know the credentials. Cloud wants consumers.jira.user (the e-mail address) and an "
            "API token, Data Center a personal access token without user"
        )
    if status == _FORBIDDEN:
        return DeniedError(f"{said}: the account may not do this: give it the permission in Jira, see `testbus check`")
    if status == _TOO_MANY:
        return _limited(response, said)
    if status in _PASSING or status >= _SERVER:
        return TargetDownError(said)
    hint = "; is it there, and may the account see it?" if status == _NOT_FOUND else ""
    if what == CREATE:
        # Nowhere else: a field that a transition wants has no place in a new issue.
        hint += _remedies(body)
    return RefusedError(f"{said}{hint}", status=status)


def _limited(response: Any, said: str) -> RateLimitedError:
    named = str(response.headers.get("Retry-After") or "") if response is not None else ""
    seconds = int(named) if named.isdecimal() else _UNSAID_S
    return RateLimitedError(f"{said}; it asks to wait {seconds} s", timedelta(seconds=seconds))


def _remedies(body: Mapping[str, Any]) -> str:
    """Return which setting is to be changed for which field."""
    faults = body.get("errors")
    named = faults if isinstance(faults, dict) else {}
    own = {"summary", "description", "comment"}
    told = [
        _SETTINGS.get(name, f"give it a value under consumers.jira.fields.{name}") for name in named if name not in own
    ]
    return f"; {'; '.join(told)}" if told else ""


def _told(body: Mapping[str, Any]) -> str:
    messages, faults = body.get("errorMessages"), body.get("errors")
    parts = [str(one) for one in messages] if isinstance(messages, list) else []
    parts += [f"{name}: {text}" for name, text in faults.items()] if isinstance(faults, dict) else []
    parts += [str(body["message"])] if isinstance(body.get("message"), str) else []
    return f" ({'; '.join(parts)[:_TOLD]})" if parts else ""


def _body(response: Any) -> Mapping[str, Any]:
    try:
        body = response.json() if response is not None else {}
    except ValueError:
        body = {}
    return body if isinstance(body, dict) else {}


def _is_jiras(response: Any) -> bool:
    """Tell whether an answer is one of Jira's: JSON, or a refused log-in."""
    if response is None or any(name in response.headers for name in _LOG_IN):
        return True
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _never_sent(error: requests.RequestException) -> bool:
    """Tell whether no connection came about: then nothing can have been done."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError | ConnectTimeoutError)
