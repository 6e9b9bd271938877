"""The lesser way: an incoming webhook, which can only post. A verdict is reported once at most, and never corrected."""

from __future__ import annotations

import socket
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError

from slack_sdk.errors import SlackClientError

from testbus_consumers.errors import SecretError, SettingsError, TargetDownError
from testbus_consumers.runtime import Done, Effects, Outcome
from testbus_consumers.settings import require_tls
from testbus_consumers.slack.client import SDK_LOG, TOO_MANY, NoAnswerError, Webhook, is_page, rate_limited
from testbus_consumers.slack.errors import NotSentError, RefusedError
from testbus_consumers.slack.posting import turn

if TYPE_CHECKING:
    from slack_sdk.webhook import WebhookResponse

    from testbus_consumers.slack.settings import SlackSettings
    from testbus_consumers.wording.slack import SlackMessage
    from testbus_schemas import RunContext

#: Answers that say that the address leads nowhere, or not any more.
_NOWHERE: Final = frozenset({"no_team", "no_service", "no_service_id", "invalid_token", "action_prohibited"})

#: Name of the webhook among the limits: it has one channel, whose id nobody knows.
_CHANNEL: Final = "webhook"

#: HTTP statuses that mean the message was not taken.
_REFUSED: Final = range(400, 500)

#: Statuses by which an answer sends elsewhere: never followed, and nothing was posted.
_ELSEWHERE: Final = range(300, 400)


class SlackWebhook:
    """Posts messages by an incoming webhook."""

    def __init__(self, settings: SlackSettings) -> None:
        """Take the settings; the address is read when it is used."""
        self._settings = settings

    def send(self, message: SlackMessage) -> None:
        """Post a message.

        Raises NotSentError, RateLimitedError or RefusedError when Slack has surely not posted it, TargetDownError when
        that is not known.
        """
        try:
            client = Webhook(self._url(), timeout=self._settings.timeout_s, retry_handlers=[], logger=SDK_LOG)
            response = client.send(text=message.text, blocks=message.blocks)
        except NoAnswerError as error:
            # Whoever answered did not pass it on.
            raise NotSentError(str(error)) from None
        except (SlackClientError, HTTPException, OSError, ValueError, LookupError) as error:
            fault = f"Slack cannot be reached: {type(error).__name__}"
            reason = error.reason if isinstance(error, URLError) else None
            unsent = isinstance(reason, ConnectionRefusedError | socket.gaierror)
            raise (NotSentError(fault) if unsent else TargetDownError(fault)) from None
        _require_ok(response)

    def check(self) -> str:
        """Return what can be said without posting: that there is an address; raises TargetDownError without one."""
        self._url()
        return "an incoming webhook: whether it works is seen with the first verdict"

    def close(self) -> None:
        """Do nothing: every request has a connection of its own."""

    def _url(self) -> str:
        assert self._settings.webhook is not None
        try:
            url = self._settings.webhook.reveal()
            require_tls(url, "consumers.slack.webhook", allowed=False)
        except (SecretError, SettingsError) as error:
            raise NotSentError(f"Slack: {error}") from None
        if not url.startswith(("http://", "https://")):
            raise NotSentError("consumers.slack.webhook is not an address such as https://hooks.slack.com/services/…")
        return url


def notify(
    effects: Effects[SlackSettings, SlackWebhook], context: RunContext, verdict: str, message: SlackMessage
) -> Outcome:
    """Post a verdict, once at most: where it is not known whether Slack took it, it is not posted again."""

    def act() -> dict[str, str]:
        turn(effects, _CHANNEL)
        effects.client.send(message)
        return {"sent": "yes"}

    result: Any = effects.once(f"webhook:{context.project}:{context.run}:{verdict}", act, lambda: {"sent": "perhaps"})
    return Done(f"posted by the webhook: {result['sent']}")


def _require_ok(response: WebhookResponse) -> None:
    answer = str(response.body)[:200]
    if response.status_code == TOO_MANY:
        raise rate_limited("webhook", response.headers)
    if response.status_code in _ELSEWHERE:
        raise NotSentError(f"the webhook's address answers {response.status_code}: it leads elsewhere, or a login does")
    if answer in _NOWHERE:
        raise NotSentError(f"the incoming webhook does not exist any more, or never did: {answer}")
    if response.status_code in _REFUSED and is_page(response.body):
        raise NotSentError(f"something before Slack answers {response.status_code}, a proxy or a firewall: {answer}")
    if response.status_code in _REFUSED:
        raise RefusedError(f"webhook: {response.status_code} {answer}")
    if response.status_code not in range(200, 300):
        raise TargetDownError(f"webhook: Slack answers {response.status_code}, {answer}")
