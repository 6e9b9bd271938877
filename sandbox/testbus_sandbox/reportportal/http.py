"""HTTP of a ReportPortal server: reading bodies, authorisation, and the shape of errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import BodyPartReader, web

from testbus_sandbox.errors import ReportPortalError
from testbus_sandbox.reportportal.fields import unreadable
from testbus_sandbox.reportportal.logs import SaveLog
from testbus_sandbox.reportportal.models import Attachment
from testbus_sandbox.reportportal.refusals import ACCESS_DENIED, INCORRECT_REQUEST, UNCLASSIFIED, refuse
from testbus_sandbox.reportportal.store import PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: Roles in a project, with ReportPortal's own order: from CUSTOMER on one may report.
ROLES: Final[Mapping[str, int]] = {"OPERATOR": 0, "CUSTOMER": 1, "MEMBER": 2, "PROJECT_MANAGER": 3}


@dataclass(slots=True)
class Member:
    """The only user of a server."""

    #: One of ROLES; may be changed while the server runs.
    role: str = "MEMBER"
    #: USER or ADMINISTRATOR, who may do everything.
    user_role: str = "USER"

    @property
    def may_report(self) -> bool:
        """Tell whether the user may start, finish and log."""
        return self.user_role == "ADMINISTRATOR" or ROLES[self.role] >= ROLES["CUSTOMER"]


def routes(member: Member, project: str, api_key: str) -> list[web.RouteDef]:
    """Return the calls about the user."""

    async def myself(request: web.Request) -> web.Response:
        """GET /users: the user whose key it is."""
        return denied_without_key(request, api_key) or answer(_resource(member, project))

    return [web.get("/api/users", myself), web.get("/api/users/", myself)]


def _resource(member: Member, project: str) -> dict[str, Any]:
    """Return the user as JSON."""
    assigned = {"projectId": PROJECT_ID, "projectRole": member.role, "entryType": "INTERNAL"}
    return {
        "id": 1,
        "userId": "sandbox",
        "email": "sandbox@example.com",
        "fullName": "Sandbox",
        "active": True,
        "accountType": "INTERNAL",
        "userRole": member.user_role,
        "photoLoaded": True,
        "assignedProjects": {project: assigned},
    }


#: Largest request, in bytes.
MAX_BYTES: Final = 128 * 1024 * 1024

#: Name of the part of a log batch that holds its entries.
LOG_PART: Final = "json_request_part"

#: Bytes read at a time from a part.
_CHUNK: Final = 1 << 16

#: What a gateway in front of ReportPortal answers by itself: to what is too large or too much, and for nobody.
_GATEWAY: Final = (413, 429, 502, 503, 504)


def answer(data: Any, status: int = 200) -> web.Response:
    """Return JSON."""
    return web.Response(body=json.dumps(data).encode(), status=status, content_type="application/json")


def refused(error: ReportPortalError) -> web.Response:
    """Return the JSON of a business error."""
    return answer({"errorCode": error.code, "message": error.message}, error.status)


def fault_body(status: int) -> tuple[str, str]:
    """Return what a real installation answers with a status: (media type, body)."""
    if status == web.HTTPUnauthorized.status_code:
        return "application/json", json.dumps(_unauthorized("Invalid token"))
    if status == web.HTTPForbidden.status_code:
        error = refuse(ACCESS_DENIED, "")
        return "application/json", json.dumps({"errorCode": error.code, "message": error.message})
    if status in _GATEWAY:
        return "text/html", f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
    error = refuse(UNCLASSIFIED, "fault set in the sandbox")
    return "application/json", json.dumps({"errorCode": error.code, "message": error.message})


def guard(project: str, api_key: str, member: Member) -> Any:
    """Return the middleware that checks key, project and role, and writes every error as ReportPortal does."""

    @web.middleware
    async def check(request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]) -> Any:
        if not request.path.startswith(("/api/v1/", "/api/v2/")):
            return await handler(request)
        denied = _denied(request, project, api_key)
        if denied is not None:
            return denied
        if request.method != "GET" and not member.may_report:
            return refused(refuse(ACCESS_DENIED, "Access Denied"))
        try:
            return await handler(request)
        except ReportPortalError as error:
            return refused(error)
        except web.HTTPNotFound:
            return answer({"status": 404, "error": "Not Found", "path": request.path}, 404)

    return check


def _denied(request: web.Request, project: str, api_key: str) -> web.Response | None:
    """Return the answer to a request without the right key or project, else None."""
    if denied := denied_without_key(request, api_key):
        return denied
    asked = request.match_info.get("project")
    if asked is not None and asked.lower() != project.lower():
        return refused(refuse(ACCESS_DENIED, "Please check the list of your available projects."))
    return None


def denied_without_key(request: web.Request, api_key: str) -> web.Response | None:
    """Return the answer to a request without the right key, else None."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return answer(_unauthorized("Full authentication is required to access this resource"), 401)
    return answer(_unauthorized("Invalid token"), 401) if key != api_key else None


def _unauthorized(description: str) -> dict[str, str]:
    """Return the JSON of a 401."""
    return {"error": "invalid_token", "error_description": description}


async def read_json(request: web.Request) -> Any:
    """Return the JSON body; raise ReportPortalError 4001 or, for another media type, 5000."""
    _check_media_type(request.content_type)
    return parse_json(await request.read())


def parse_json(body: bytes) -> Any:
    """Parse JSON; raise ReportPortalError 4001 for what is none."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise unreadable(str(error)) from None


async def read_logs(request: web.Request) -> tuple[list[SaveLog], dict[str, list[Attachment]]]:
    """Return the entries of a multipart log batch, and its files by name; raise ReportPortalError 4001."""
    entries: list[SaveLog] | None = None
    files: dict[str, list[Attachment]] = {}
    size = 0
    reader = await request.multipart()
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            continue
        content = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise web.HTTPRequestEntityTooLarge(max_size=MAX_BYTES, actual_size=size)
            content += chunk
        media_type = part.headers.get("Content-Type", "application/octet-stream")
        if part.name == LOG_PART:
            _check_media_type(media_type.partition(";")[0].strip())
            entries = _entries(parse_json(part.decode(bytes(content))))
        elif part.filename is not None:
            file = Attachment(name=part.filename, content_type=media_type, content=bytes(content))
            files.setdefault(part.filename, []).append(file)
    if entries is None:
        raise refuse(INCORRECT_REQUEST, f"Required part '{LOG_PART}' is not present.")
    return entries, files


def _entries(data: Any) -> list[SaveLog]:
    """Return the entries of a batch; one whose time cannot be read refuses all of them."""
    if not isinstance(data, list):
        raise unreadable("Cannot deserialize value: an array is expected")
    return [SaveLog.read(entry) for entry in data]


def _check_media_type(media_type: str) -> None:
    """Raise what ReportPortal's catch-all says of a body that is not JSON."""
    if media_type != "application/json":
        raise refuse(UNCLASSIFIED, f"Content-Type '{media_type}' is not supported")
