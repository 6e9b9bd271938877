"""The Web API methods: every answer is HTTP 200 with `ok`, but for the rate limit."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from testbus_sandbox.errors import SlackError, SlackRateLimitError
from testbus_sandbox.slack import blocks

if TYPE_CHECKING:
    from testbus_sandbox.slack.workspace import Channel, Message, Workspace


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


#: Largest request, in bytes.
MAX_BYTES: Final = 4 * 1024 * 1024

#: Who the sandbox's token is.
TEAM_ID: Final = "T0SANDBOX00"
USER_ID: Final = "U0SANDBOX00"
BOT_ID: Final = "B0SANDBOX00"
APP_ID: Final = "A0SANDBOX00"

#: Messages in one answer: unless the request says otherwise, and at most.
PAGE: Final = 100
MAX_PAGE: Final = 999

#: Methods that need no token.
_OPEN: Final = ("api.test",)


class WebApi:
    """Translates method calls into rules, and messages into JSON."""

    def __init__(self, workspace: Workspace, token: str) -> None:
        """Take the workspace and the bot's token."""
        self._workspace = workspace
        self._token = token
        self._methods = {
            "api.test": self._test,
            "auth.test": self._auth,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }

    def routes(self) -> list[web.RouteDef]:
        """Return one route for every method, so that each is counted on its own, and one for the others."""
        named = [web.route("*", f"/api/{name}", self.call) for name in self._methods]
        return [*named, web.route("*", "/api/{method}", self.call)]

    async def call(self, request: web.Request) -> web.Response:
        """Answer one call."""
        name = request.path.removeprefix("/api/")
        try:
            method = self._methods.get(name)
            if method is None:
                return _answer({"ok": False, "error": "unknown_method", "req_method": name})
            found = await read(request)
            if name not in _OPEN:
                authorise(request, found, self._token)
            return _answer({"ok": True} | method(found | {"_host": str(request.url.origin())}))
        except SlackRateLimitError as error:
            return _answer(_error(error), 429, {"Retry-After": str(error.retry_after_s)})
        except SlackError as error:
            return _answer(_error(error))

    def _test(self, given: dict[str, Any]) -> dict[str, Any]:
        """api.test: the arguments come back; an argument `error` is the error."""
        if given.get("error"):
            raise SlackError(str(given["error"]))
        return {"args": {key: value for key, value in given.items() if key not in {"token", "_host"}}}

    def _auth(self, given: dict[str, Any]) -> dict[str, Any]:
        """auth.test: who the token is."""
        return {
            "url": f"{given['_host']}/",
            "team": "Sandbox",
            "user": "testbus",
            "team_id": TEAM_ID,
            "user_id": USER_ID,
            "bot_id": BOT_ID,
            "is_enterprise_install": False,
        }

    def _post(self, given: dict[str, Any]) -> dict[str, Any]:
        """chat.postMessage."""
        channel = self._workspace.find_channel(given.get("channel"), names=True)
        message = self._workspace.post(
            channel,
            blocks.read(given),
            thread_ts=given.get("thread_ts"),
            broadcast=blocks.flag(given.get("reply_broadcast")),
        )
        return {"channel": channel.id, "ts": message.ts, "message": self._json(message, metadata=True)}

    def _update(self, given: dict[str, Any]) -> dict[str, Any]:
        """chat.update: the channel by its id."""
        required(given, "channel", "ts")
        channel = self._workspace.find_channel(given["channel"])
        message = self._workspace.update(channel, str(given["ts"]), blocks.read(given))
        shown = self._json(message, metadata=True)
        return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        """conversations.history: the newest first."""
        required(given, "channel")
        channel = self._workspace.find_channel(given["channel"])
        return self._page(self._workspace.history(channel), given, newest_first=True)

    def _replies(self, given: dict[str, Any]) -> dict[str, Any]:
        """conversations.replies: the first message and its replies, the oldest first."""
        required(given, "channel", "ts")
        channel = self._workspace.find_channel(given["channel"])
        return self._page(self._workspace.thread(channel, str(given["ts"])), given, newest_first=False)

    def _page(self, messages: list[Message], given: dict[str, Any], *, newest_first: bool) -> dict[str, Any]:
        """Return the messages between oldest and latest, from the cursor on."""
        found = _between(messages, given)
        start = _cursor(given.get("cursor"))
        if start is not None:
            found = [entry for entry in found if (entry.ts <= start if newest_first else entry.ts >= start)]
        limit = _limit(given.get("limit"))
        metadata = blocks.flag(given.get("include_all_metadata"))
        page: dict[str, Any] = {
            "messages": [self._json(message, metadata=metadata) for message in found[:limit]],
            "has_more": len(found) > limit,
        }
        if len(found) > limit:
            next_cursor = base64.b64encode(f"next_ts:{found[limit].ts}".encode()).decode()
            page["response_metadata"] = {"next_cursor": next_cursor}
        return page

    def _json(self, message: Message, *, metadata: bool) -> dict[str, Any]:
        """Return a message as Slack writes it."""
        shown: dict[str, Any] = {
            "type": "message",
            "user": USER_ID,
            "bot_id": BOT_ID,
            "app_id": APP_ID,
            "team": TEAM_ID,
            "ts": message.ts,
            "text": message.text,
        }
        if message.webhook:
            del shown["user"]
            shown["subtype"] = "bot_message"
        optional = {
            "blocks": [{"block_id": f"b{index}", **block} for index, block in enumerate(message.blocks)],
            "attachments": list(message.attachments),
            "metadata": message.metadata if metadata else None,
            "thread_ts": message.thread_ts,
            "edited": {"user": USER_ID, "ts": message.ts} if message.edits and not message.blocks else None,
        }
        replies = self._workspace.replies(message)
        if replies:
            users = {"reply_users": [USER_ID], "reply_users_count": 1}
            optional |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1]} | users
        return shown | {key: value for key, value in optional.items() if value}


def _between(messages: list[Message], given: dict[str, Any]) -> list[Message]:
    """Return the messages after `oldest` and before `latest`, the ends too when `inclusive`."""
    inclusive = blocks.flag(given.get("inclusive"))
    oldest, latest = _moment(given, "oldest"), _moment(given, "latest")

    def inside(message: Message) -> bool:
        moment = float(message.ts)
        if oldest is not None and (moment < oldest or (moment == oldest and not inclusive)):
            return False
        return latest is None or moment < latest or (moment == latest and inclusive)

    return [message for message in messages if inside(message)]


def _moment(given: dict[str, Any], name: str) -> float | None:
    """Return an end of the range in seconds; raise SlackError invalid_ts_oldest or invalid_ts_latest."""
    text = given.get(name)
    if text in (None, "", "0", 0):
        return None
    try:
        return float(str(text))
    except ValueError:
        raise SlackError(f"invalid_ts_{name}") from None


def _limit(given: object) -> int:
    """Return how many messages to answer; raise SlackError invalid_limit."""
    if given in (None, ""):
        return PAGE
    text = str(given)
    if not text.isdecimal() or not 0 < int(text) <= MAX_PAGE:
        raise SlackError("invalid_limit")
    return int(text)


def _cursor(given: object) -> str | None:
    """Return the ts that a cursor points at; raise SlackError invalid_cursor."""
    if not given:
        return None
    try:
        text = base64.b64decode(str(given), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise SlackError("invalid_cursor") from None
    if not text.startswith("next_ts:"):
        raise SlackError("invalid_cursor")
    return text.removeprefix("next_ts:")


def _error(error: SlackError) -> dict[str, Any]:
    """Return the JSON of an error."""
    answer: dict[str, Any] = {"ok": False, "error": error.error}
    if error.messages:
        answer["errors"] = [message.removeprefix("[ERROR] ") for message in error.messages]
        answer["response_metadata"] = {"messages": list(error.messages)}
    return answer


def _answer(data: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return JSON."""
    scopes = {"X-OAuth-Scopes": "chat:write,channels:history"}
    body = json.dumps(data).encode()
    return web.Response(
        body=body, status=status, headers=scopes | (headers or {}), content_type="application/json", charset="utf-8"
    )


def fault_body(status: int) -> tuple[str, str]:
    """Return what Slack answers with a status: (media type, body)."""
    errors = {401: "invalid_auth", 403: "access_denied", 429: "ratelimited", 503: "service_unavailable"}
    error = errors.get(status, "internal_error")
    return "application/json", json.dumps({"ok": False, "error": error})


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
            found = blocks.read(payload)
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
