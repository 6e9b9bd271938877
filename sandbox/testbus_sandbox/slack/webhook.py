"""Incoming webhooks: one secret URL per channel, answers in plain text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.errors import SlackError, SlackRateLimitError
from testbus_sandbox.slack import content
from testbus_sandbox.slack.routes import BOT_ID, TEAM_ID

if TYPE_CHECKING:
    from testbus_sandbox.slack.models import Channel
    from testbus_sandbox.slack.workspace import Workspace

#: HTTP status of what is not a bad request.
_STATUS: Final = {"no_team": 404, "no_service": 404, "invalid_token": 403, "channel_not_found": 404}


class Webhooks:
    """Translates webhook posts into messages."""

    def __init__(self, workspace: Workspace, secret: str) -> None:
        """Take the workspace and the secret that the URLs are made of."""
        self._workspace = workspace
        self._secrets = {f"{secret}{channel.name}": channel for channel in workspace.channels.values()}

    def path(self, channel: Channel) -> str:
        """Return the path of the channel's webhook."""
        secret = next(secret for secret, known in self._secrets.items() if known == channel)
        return f"/services/{TEAM_ID}/{BOT_ID}/{secret}"

    def routes(self) -> list[web.RouteDef]:
        """Return the route of every webhook."""
        return [web.post("/services/{team}/{bot}/{secret}", self.receive)]

    async def receive(self, request: web.Request) -> web.Response:
        """Post the message of the body; answer `ok`, or the error's name."""
        try:
            channel = self._channel(request)
            payload = await _payload(request)
            found = content.read(payload)
            self._workspace.post(channel, found, thread_ts=payload.get("thread_ts"), webhook=True)
        except SlackRateLimitError as error:
            headers = {"Retry-After": str(error.retry_after_s)}
            return web.Response(text="rate_limited", status=429, headers=headers)
        except SlackError as error:
            return web.Response(text=error.error, status=_STATUS.get(error.error, 400))
        return web.Response(text="ok")

    def _channel(self, request: web.Request) -> Channel:
        """Return the webhook's channel; raise SlackError no_team, no_service or invalid_token."""
        if request.match_info["team"] != TEAM_ID:
            raise SlackError("no_team")
        if request.match_info["bot"] != BOT_ID:
            raise SlackError("no_service")
        channel = self._secrets.get(request.match_info["secret"])
        if channel is None:
            raise SlackError("invalid_token")
        return channel


async def _payload(request: web.Request) -> dict[str, Any]:
    """Return the JSON of the body, or of the form's field `payload`; raise SlackError invalid_payload."""
    if request.content_type == "application/x-www-form-urlencoded":
        text = str((await request.post()).get("payload", ""))
    else:
        text = await request.text()
    try:
        data = json.loads(text)
    except ValueError:
        raise SlackError("invalid_payload") from None
    if not isinstance(data, dict):
        raise SlackError("invalid_payload")
    return data
