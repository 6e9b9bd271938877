"""What an answer of ReportPortal's API v1 means: one table, from status and error code to what is to be done."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from testbus_consumers.errors import TargetDownError
from testbus_consumers.reportportal.errors import (
    AlreadyFinishedError,
    AlreadyThereError,
    BlockedError,
    NotThereError,
    RefusedError,
)

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
    said = str(answer.get("message", "")) if isinstance(answer, dict) else ""
    told = f"{what}: {status}/{code or '-'} {said or _quote(body)}"[: 2 * _QUOTED]
    if status in _REFUSALS and not _is_own(answer):
        raise BlockedError(f"something before {where} answers in its place, a proxy or a firewall: {told}")
    if _PROJECT_GONE.search(said):
        raise BlockedError(f"{where} does not know the project: is its name right, is it being made anew? {told}")
    if status in _CREDENTIALS:
        raise TargetDownError(
            f"{where} does not accept the API key ({status}): give the target a key of a member of that project"
        )
    if code == _UNCLASSIFIED and _UUID_TAKEN in said:
        raise AlreadyThereError(told)
    if code == _FINISHED:
        raise AlreadyFinishedError(told)
    if code in _UNKNOWN:
        raise NotThereError(told)
    if _for_good(status, code, said):
        raise RefusedError(told)
    raise TargetDownError(f"{where} cannot answer: {told}")


def _is_own(answer: Any) -> bool:
    """Tell whether a refusal is ReportPortal's: its service gives a code, its authorization a word."""
    return isinstance(answer, dict) and ("errorCode" in answer or "error" in answer)


def _for_good(status: int, code: int | None, said: str) -> bool:
    """Tell whether the request can never be taken. A refusal without an error code is not ReportPortal's own."""
    if code == _UNCLASSIFIED:
        return any(words in said for words in _UNFIT)
    return status == _TOO_LARGE or (status in range(400, 500) and status not in _LATER and code is not None)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _quote(body: bytes) -> str:
    return " ".join(body[:_QUOTED].decode(errors="replace").split())
