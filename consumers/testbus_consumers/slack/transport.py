"""How Slack's own clients send: without following redirects, and without believing what is no answer of Slack's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

from slack_sdk import WebClient
from slack_sdk.errors import SlackRequestError
from slack_sdk.webhook import WebhookClient, WebhookResponse

if TYPE_CHECKING:
    from urllib.request import Request

#: Bytes of an answer that are read: a page of a channel's history is the largest.
_MAX_BYTES: Final = 16 << 20

#: Characters of what is no answer that an error tells.
_TOLD: Final = 100


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
    return " ".join(body.split())[:_TOLD] or "nothing"
