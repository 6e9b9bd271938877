"""The arguments of a Web API call: query, form or JSON; and who calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from testbus_sandbox.errors import SlackError

if TYPE_CHECKING:
    from aiohttp import web

#: Media types of forms.
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


async def read(request: web.Request) -> dict[str, Any]:
    """Return the arguments; raise SlackError invalid_json, json_not_object or invalid_post_type."""
    arguments: dict[str, Any] = dict(request.query)
    if request.method != "POST" or not request.can_read_body:
        return arguments
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        body.pop("token", None)
        return arguments | body
    if request.content_type in _FORMS:
        return arguments | dict(await request.post())
    raise SlackError("invalid_post_type")


def authorise(request: web.Request, arguments: dict[str, Any], token: str) -> None:
    """Check the token of the header or, for forms, of the arguments; raise SlackError not_authed or invalid_auth."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        given = str(arguments.get("token") or "")
    if not given:
        raise SlackError("not_authed")
    if given != token:
        raise SlackError("invalid_auth")


def required(arguments: dict[str, Any], *names: str) -> None:
    """Raise SlackError invalid_arguments when one of the names has no value."""
    missing = [f"[ERROR] missing required field: {name}" for name in names if not arguments.get(name)]
    if missing:
        raise SlackError("invalid_arguments", *missing)
