"""Slack's Web API by its own client, with every answer sorted into what is to be done."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError, SlackRequestError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from testbus_consumers.errors import SecretError, TargetDownError
from testbus_consumers.runtime import check_leases, metrics
from testbus_consumers.slack.errors import MessageGoneError, RateLimitedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from urllib.request import Request

    from slack_sdk.web import SlackResponse

    from testbus_consumers.slack.settings import SlackSettings
    from testbus_consumers.wording.slack import SlackMessage


#: Bytes of an answer that are read: a page of a channel's history is the largest.
_MAX_BYTES: Final = 16 << 20

#: Characters of what is no answer that an error tells.
_BODY_CHARS: Final = 100


class NoAnswerError(SlackRequestError):
    """Something answered, and it was not Slack: a proxy, a login page, a firewall."""


class _NoRedirects(HTTPRedirectHandler):
    """Takes a redirect for the answer: the token, which is in a header, goes to the configured address only."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Follow none."""


class Web(WebClient):
    """The SDK's client of the Web API."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        """Send; NoAnswerError for what is not JSON with an `ok`, as Slack's answers are, whatever its status says."""
        status, headers, body = _sent(req, self.timeout, self.ssl)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "ok" not in answer:
            raise NoAnswerError(f"{url} does not answer as Slack does: {_excerpt(body)}")
        return {"status": status, "headers": headers, "body": body}


class Webhook(WebhookClient):
    """The SDK's client of an incoming webhook."""

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        """Send; NoAnswerError for a page: Slack answers in a word."""
        status, headers, body = _sent(req, self.timeout, self.ssl)
        if is_page(body):
            raise NoAnswerError(f"the webhook's address does not answer as Slack does: {_excerpt(body)}")
        return WebhookResponse(url=url, status_code=status, body=body, headers=headers)


def is_page(body: object) -> bool:
    """Tell whether an answer is a page, which a proxy or a firewall makes: Slack says why in a word."""
    return str(body).lstrip()[:1] == "<"


def _sent(request: Request, timeout: float, tls: Any) -> tuple[int, Any, str]:
    """Return status, headers and text of an answer of the 200s; HTTPError for any other."""
    with build_opener(_NoRedirects, HTTPSHandler(context=tls)).open(request, timeout=timeout) as response:
        body = response.read(_MAX_BYTES + 1)
        if len(body) > _MAX_BYTES:
            raise NoAnswerError(f"an answer has more than {_MAX_BYTES} bytes")
        return response.status, response.headers, body.decode("utf-8", "replace")


def _excerpt(body: str) -> str:
    return " ".join(body.split())[:_BODY_CHARS] or "nothing"


#: Type of the metadata by which our messages are found again.
EVENT_TYPE: Final = "testbus_run"

#: Errors that speak of the token, whatever is asked.
_CREDENTIALS: Final = {
    "invalid_auth": "the token is not valid",
    "not_authed": "there is no token",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "account_inactive": "the bot's account or workspace is gone",
    "access_denied": "the token may not do this",
    "missing_scope": "the token lacks a scope: it needs chat:write and channels:history (or groups:history)",
    "no_permission": "the token may not do this",
    "org_login_required": "the workspace is being moved",
    "ekm_access_denied": "an administrator has suspended the app",
}

#: Errors that say Slack itself is unwell.
_UNWELL: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)

#: Errors that say what a person has to do about the channel.
_REMEDIES: Final = {
    "channel_not_found": "no such channel, or a private one that the bot is not in: check the id, invite the bot",
    "not_in_channel": "invite the bot into the channel: /invite @<bot>",
    "is_archived": "the channel is archived: choose another one, or unarchive it",
    "restricted_action": "the channel's posting rules keep the bot out",
    "restricted_action_read_only_channel": "the channel is read-only",
    "msg_too_long": "the message is too long",
    "invalid_blocks": "Slack does not take the blocks of the message: please report this",
}

#: Errors of an update or a thread that a person has made pointless.
_GONE: Final = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})

#: HTTP status of a rate limit.
TOO_MANY: Final = 429

#: HTTP statuses of refusals, which Slack itself hardly uses.
_REFUSED: Final = range(400, 500)

#: Method that changes nothing, and that every token may call.
_PROBE: Final = "auth.test"

#: Seconds to wait when a rate limit does not say.
_UNSAID_S: Final = 30

#: The SDK prints what it raises: it is set to raise only.
SDK_LOG: Final = logging.getLogger(f"{__name__}.sdk")
SDK_LOG.setLevel(logging.CRITICAL)

#: Messages that one page of a history has, and pages that are looked through.
_PAGE, _PAGES = 200, 25


class SlackClient:
    """Posts, updates and finds messages by a bot's token."""

    def __init__(self, settings: SlackSettings) -> None:
        """Take the settings; the token is read when it is used."""
        self._settings = settings
        # No retry handlers: the one for lost connections would post a second message, the one for rate limits sleeps.
        self._web = Web(base_url=settings.base_url, timeout=settings.timeout_s, retry_handlers=[], logger=SDK_LOG)

    def post(self, channel: str, message: SlackMessage, key: str, run: str, thread_ts: str | None = None) -> str:
        """Post a message with the key in its metadata, in a thread or at the top, and return its `ts`."""
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"run": run, "key": key}}
        content = {"text": message.text, "blocks": message.blocks, "unfurl_links": False, "unfurl_media": False}
        where = {"channel": channel} | ({"thread_ts": thread_ts} if thread_ts else {})
        return str(self._call("chat.postMessage", json=where | content | {"metadata": metadata})["ts"])

    def update(self, channel: str, ts: str, message: SlackMessage) -> None:
        """Replace a message; MessageGoneError when a person has taken it away."""
        self._call("chat.update", json={"channel": channel, "ts": ts, "text": message.text, "blocks": message.blocks})

    def find(self, channel: str, key: str, since: float) -> str | None:
        """Return the `ts` of the message with that key in its metadata, posted after `since` (seconds since 1970)."""
        return self._find("conversations.history", {"channel": channel, "oldest": f"{since:.6f}"}, key)

    def find_reply(self, channel: str, thread_ts: str, key: str) -> str | None:
        """Return the `ts` of the reply with that key in its metadata; MessageGoneError when there is no such thread."""
        return self._find("conversations.replies", {"channel": channel, "ts": thread_ts}, key)

    def _find(self, method: str, where: Mapping[str, Any], key: str) -> str | None:
        for message in self._messages(method, where):
            metadata = message.get("metadata") or {}
            if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload", {}).get("key") == key:
                return str(message["ts"])
        return None

    def check(self) -> str:
        """Return whom the token is for, after having read every channel; raises TargetDownError with what is wrong."""
        channels = list(dict.fromkeys([self._settings.channel, *(route.channel for route in self._settings.routes)]))
        try:
            who = self._call("auth.test", json={})
            for channel in channels:
                self._call("conversations.history", params={"channel": channel, "limit": 1})
        except (RateLimitedError, RefusedError) as error:
            raise TargetDownError(str(error)) from None
        named = f"channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}"
        return f"{who.get('user')} of {who.get('team')}, {named}"

    def close(self) -> None:
        """Do nothing: every request has a connection of its own."""

    def _messages(self, method: str, where: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        # Methods that read take a form, not JSON.
        wanted = {**where, "limit": _PAGE, "include_all_metadata": True}
        cursor = None
        for _ in range(_PAGES):
            answer = self._call(method, params=wanted | ({"cursor": cursor} if cursor else {}))
            yield from answer.get("messages") or ()
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _call(self, method: str, **arguments: dict[str, Any]) -> SlackResponse:
        """Call a method, with its arguments as `json` or `params`.

        Raises TargetDownError for what concerns every call, RateLimitedError, MessageGoneError, RefusedError.
        """
        check_leases()
        try:
            assert self._settings.token is not None
            headers = {"Authorization": f"Bearer {self._settings.token.reveal()}"}
            given: dict[str, Any] = arguments
            with metrics.request("slack", method):
                return self._web.api_call(method, headers=headers, **given)
        except SecretError as error:
            raise TargetDownError(f"Slack: {error}") from None
        except SlackApiError as error:
            if _is_blocked(error.response) and method != _PROBE and self._answers():
                raise RefusedError(
                    f"{method}: something before Slack, a proxy or a firewall, refuses this message and not others "
                    f"(status {error.response.status_code}): let it through, or leave the run out, then redrive"
                ) from None
            channel = next((given["channel"] for given in arguments.values() if "channel" in given), None)
            raise _sorted(f"{method} in {channel}" if channel else method, error.response) from None
        except NoAnswerError as error:
            raise TargetDownError(str(error)) from None
        except (SlackClientError, HTTPException, OSError, ValueError, LookupError) as error:
            # The last two: an answer in no encoding, or in one that nobody knows.
            raise TargetDownError(f"Slack cannot be reached: {type(error).__name__}: {error}") from None

    def _answers(self) -> bool:
        """Tell whether Slack takes other calls."""
        try:
            self._call(_PROBE, json={})
        except (TargetDownError, RateLimitedError, RefusedError, MessageGoneError):
            return False
        return True


def _is_blocked(response: Any) -> bool:
    """Tell whether an answer that refuses is none of Slack's own."""
    own = isinstance(response.data, dict) and " " not in str(response.get("error") or " ")
    return response.status_code in _REFUSED and response.status_code != TOO_MANY and not own


def rate_limited(method: str, headers: Mapping[str, str]) -> RateLimitedError:
    """Return what an answer 429 means."""
    named = {name.lower(): value for name, value in headers.items()}.get("retry-after")
    seconds = int(named) if named and named.isdecimal() else _UNSAID_S
    return RateLimitedError(f"{method}: Slack asks to wait {seconds} s", timedelta(seconds=seconds))


def _sorted(what: str, response: Any) -> Exception:
    """Return the exception that an answer means; `what` was done, and in which channel."""
    method = what.partition(" ")[0]
    code = str(response.get("error") or "no error named")
    if response.status_code == TOO_MANY or code in {"ratelimited", "rate_limited"}:
        return rate_limited(what, response.headers)
    if code in _CREDENTIALS:
        return TargetDownError(f"{what}: {code}: {_CREDENTIALS[code]}")
    if code in _UNWELL or response.status_code not in range(200, 300):
        return TargetDownError(f"{what}: Slack answers {response.status_code}, {code[:200]}")
    if code in _GONE:
        return MessageGoneError(f"{what}: {code}")
    messages = "; ".join((response.get("response_metadata") or {}).get("messages") or ())
    remedy = _REMEDIES.get(code) or messages or f"see https://api.slack.com/methods/{method}#errors"
    return RefusedError(f"{what}: {code}: {remedy}")
