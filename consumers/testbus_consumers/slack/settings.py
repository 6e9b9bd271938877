"""Settings of the consumer `slack`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from testbus_consumers.errors import SettingsError
from testbus_consumers.filters import RunFilter
from testbus_consumers.settings import LOOPBACK, Secret, require_tls

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: What the address of a report may be made of.
REPORT_FIELDS = ("project", "run", "suite", "branch", "commit", "pull_request")

_CHANNEL: Final = re.compile(r"[CGD][A-Z0-9]{5,}")


def _channel(value: str) -> str:
    if not _CHANNEL.fullmatch(value):
        raise ValueError(
            'expected a channel\'s id, as C0123456789 (not its name): at the end of "View channel details"'
        )
    return value


ChannelId = Annotated[str, AfterValidator(_channel)]

#: What a route can single out: a verdict that a rule blocked, one with warnings, one on an incomplete run; then what
#: is reported beside the verdict.
Severity = Literal["block", "warn", "incomplete", "regression", "recovery", "issue"]


class Route(RunFilter):
    """One entry of `routes`: what it does not name, it takes all of."""

    #: Only what has one of these severities.
    severity: tuple[Severity, ...] | None = Field(default=None, min_length=1)
    channel: ChannelId

    def takes(self, context: RunContext, severity: Severity | None) -> bool:
        """Tell whether this is the route of a run's message, or of something else about the run."""
        return not self.mismatches(context) and (self.severity is None or severity in self.severity)


class SlackSettings(RunFilter):
    """Section `consumers.slack`; its run filters say which runs notify."""

    #: Token of a bot with the scopes chat:write and channels:history (groups:history for a private channel).
    token: Secret | None = None
    #: Address of an incoming webhook, instead of a token: one message for a verdict, in the webhook's own channel, at
    #: most once; no updates, no threads, no routes.
    webhook: Secret | None = None
    #: Id of the channel, as `C0123456789`: at the end of "View channel details".
    channel: ChannelId | None = None
    #: Other channels; the first that matches is taken, and `channel` when none does.
    routes: tuple[Route, ...] = ()
    #: Address of Slack's Web API.
    base_url: str = "https://slack.com/api/"
    #: `always`: from the start of every run; `failed`: only runs whose verdict is not passed; `changed`: only runs
    #: whose verdict is another than that of the run before of the same project, suite and branch.
    only_on: Literal["always", "failed", "changed"] = "always"
    #: Seconds from one message or update in a channel to the next, for all workers together; 0: no limit.
    seconds_per_message: float = Field(default=1.0, ge=0)
    #: Address of a report of the run, with fields such as `{run}`; unset: no link.
    report_url: str | None = None
    #: Seconds until a request without an answer is given up.
    timeout_s: int = Field(default=10, ge=1)
    #: False leaves the consumer out: it does not run, and a queue that it has already keeps what comes.
    enabled: bool = True

    @field_validator("base_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected an address such as https://slack.com/api/")
        if parts.username or parts.password:
            raise ValueError("no credentials here: use token")
        try:
            require_tls(value, "base_url", allowed=False)
        except SettingsError:
            raise ValueError(f"must be https:// unless the host is one of {', '.join(sorted(LOOPBACK))}") from None
        return value

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        if self.report_url is not None:
            try:
                self.report_url.format_map(dict.fromkeys(REPORT_FIELDS, "x"))
            except (KeyError, IndexError, ValueError, AttributeError) as error:
                allowed = ", ".join(f"{{{name}}}" for name in REPORT_FIELDS)
                raise ValueError(f"report_url: not understood ({error}); fields that may be used: {allowed}") from None
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.token is None) == (self.webhook is None):
            raise ValueError("give exactly one of token (a bot's) and webhook (the address of an incoming webhook)")
        if self.token is not None and self.channel is None:
            raise ValueError("channel is missing: the id of the channel that a bot posts in, as C0123456789")
        if self.webhook is not None and (self.channel is not None or self.routes):
            raise ValueError("an incoming webhook has a channel of its own: channel and routes need a bot's token")
        return self

    def channel_of(self, context: RunContext, severity: Severity | None) -> str:
        """Return the channel of a run's message that is first posted with such a verdict; None stands for none yet."""
        assert self.channel is not None
        found = (route.channel for route in self.routes if route.takes(context, severity))
        return next(found, self.channel)

    def own_channel_of(self, context: RunContext, severity: Severity) -> str | None:
        """Return the channel that such news of a run is sent to, None when they belong into the run's own thread."""
        found = next((route for route in self.routes if route.takes(context, severity)), None)
        return found.channel if found and found.severity else None

    def leaves_out(self, context: RunContext) -> str | None:
        """Return why a run does not notify, None when it does."""
        found = self.mismatches(context)
        return f"left out: {found[0].named} is not among the {found[0].key} that notify" if found else None
