"""Settings of the consumer `slack`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from testbus_consumers.errors import SettingsError
from testbus_consumers.settings import LOOPBACK, Secret, Section, require_tls

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: What the address of a report may be made of.
REPORT_FIELDS = ("project", "run", "suite", "branch", "commit", "pull_request")


class SlackSettings(Section):
    """Section `consumers.slack`."""

    #: Token of a bot with the scopes chat:write and channels:history (groups:history for a private channel).
    token: Secret
    #: Id of the channel, as `C0123456789`: at the end of "View channel details".
    channel: str = Field(pattern=r"^[CGD][A-Z0-9]{5,}$")
    #: Address of Slack's Web API.
    base_url: str = "https://slack.com/api/"
    #: `always`: from the start of every run; `failed`: only runs whose verdict is not passed.
    only_on: Literal["always", "failed"] = "always"
    #: Address of a report of the run, with fields such as `{run}`; unset: no link.
    report_url: str | None = None
    #: Projects that are told of; unset: all.
    projects: tuple[str, ...] | None = None
    #: Seconds until a request without an answer is given up.
    timeout_s: int = Field(default=10, ge=1)
    #: False leaves every event out, and forgets it.
    enabled: bool = True

    @field_validator("base_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("expected an address such as https://slack.com/api/")
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

    def leaves_out(self, context: RunContext) -> str | None:
        """Return why a run is not told of, None when it is."""
        if not self.enabled:
            return "left out: slack is not enabled"
        if self.projects is not None and context.project not in self.projects:
            return f"left out: {context.project} is not among the projects that are told of"
        return None
