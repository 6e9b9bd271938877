"""Settings of the consumer `jira`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from testbus_consumers.errors import SettingsError
from testbus_consumers.filters import Globs, RunFilter, matches_name
from testbus_consumers.settings import Secret, require_tls

if TYPE_CHECKING:
    from testbus_schemas import RunContext

#: Stands for every project of testbus that the map `project` does not name.
OTHERS: Final = "*"

#: Fields that are testbus's own: `fields` cannot set them.
OWN_FIELDS: Final = frozenset({"project", "issuetype", "summary", "description", "labels"})

_KEY: Final = re.compile(r"[A-Z][A-Z0-9_]{1,31}")
_LABEL: Final = re.compile(r"\S{1,255}")


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("expected the key of a project in Jira, as SHOP: 2 to 32 of A-Z, 0-9 and _, a letter first")
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("expected a label of Jira: 1 to 255 characters without spaces")
    return value


#: A project's key in Jira.
ProjectKey = Annotated[str, AfterValidator(_key)]


class JiraSettings(RunFilter):
    """Section `consumers.jira`; its run filters say which runs' failures are filed."""

    #: Address of Jira, as `https://acme.atlassian.net` or `https://jira.example.com/jira`.
    url: str
    #: Jira Cloud (API 3) or Data Center (API 2); unset: asked of Jira once per worker.
    flavour: Literal["cloud", "datacenter"] | None = None
    #: E-mail address of the account (Cloud); unset: the token is a personal access token (Data Center).
    user: str | None = None
    #: API token (Cloud) or personal access token (Data Center).
    token: Secret
    #: Key of the project that issues go to; or a map from testbus's projects to keys. Of its globs, as `shop-*`, the
    #: first that matches counts where no name does; `*` stands for all others.
    project: dict[str, ProjectKey] = Field(min_length=1)
    #: Type of new issues.
    issue_type: str = Field(default="Bug", min_length=1)
    #: Fields that new issues get besides testbus's own, as Jira's API takes them: `customfield_10010: {value: Web}`.
    fields: dict[str, Any] = Field(default_factory=dict)
    #: Labels that new issues get besides the one that testbus finds them by.
    labels: tuple[Annotated[str, AfterValidator(_label)], ...] = ("testbus",)
    #: Globs of the branches whose failures are filed; a run that knows no branch is filed by `*` only.
    branches: Globs | None = ("main", "master")
    #: Whether runs of pull requests are filed, whatever their branch is called.
    pull_requests: bool = False
    #: New issues that one run may lead to; a run that breaks everything does not fill the tracker.
    max_new_per_run: int = Field(default=20, ge=0)
    #: Seconds after which an issue that was created is surely found by a search: more than the search index ever lags
    #: behind and two requests may take. So long is waited after an answer was lost before another issue is created.
    settle_s: int = Field(default=120, ge=1)
    #: Hours between two comments on one issue.
    comment_every_h: float = Field(default=24.0, gt=0)
    #: A cause that comes back reopens its issue if that was closed at most so many days ago; else it gets a new one.
    reopen_within_days: int = Field(default=30, ge=0)
    #: Seconds until a request without an answer is given up.
    timeout_s: float = Field(default=10.0, gt=0)
    #: Whether an http:// address that is not on this machine is allowed.
    allow_plaintext: bool = False
    #: False leaves every event out.
    enabled: bool = True

    @field_validator("url")
    @classmethod
    def _bare(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://acme.atlassian.net")
        if parts.username or parts.password:
            raise ValueError("no credentials here: use user and token")
        return value.rstrip("/")

    @field_validator("project", mode="before")
    @classmethod
    def _one_for_all(cls, value: object) -> object:
        if not isinstance(value, str | dict):
            raise ValueError("expected the key of a project in Jira, as SHOP, or a map from testbus's projects to keys")  # noqa: TRY004 pydantic's way
        return {OTHERS: value} if isinstance(value, str) else value

    @field_validator("fields")
    @classmethod
    def _not_our_own(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OWN_FIELDS & value.keys()):
            raise ValueError(f"{', '.join(taken)}: testbus sets these itself")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            require_tls(self.url, "url", allowed=self.allow_plaintext)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        if self.settle_s <= 2 * self.timeout_s:
            raise ValueError(f"settle_s must be more than twice timeout_s ({self.timeout_s:g})")
        if self.flavour == "cloud" and self.user is None:
            raise ValueError("user is missing: Jira Cloud knows an API token only with the account's e-mail address")
        return self

    def project_of(self, context: RunContext) -> str | None:
        """Return the key of the project that a run's issues go to, None when there is none."""
        if context.project in self.project:
            return self.project[context.project]
        globs = (glob for glob in self.project if glob != OTHERS and matches_name(context.project, (glob,)))
        return self.project.get(next(globs, OTHERS))

    def leaves_out(self, context: RunContext) -> str | None:
        """Return why a run's failures are not filed, None when they are."""
        if not self.enabled:
            return "left out: jira is not enabled"
        if context.pull_request is not None and not self.pull_requests:
            return "left out: pull requests are not filed"
        for one in self.mismatches(context):
            # Of a pull request that is filed the branch may be called anything.
            if one.field != "branch" or context.pull_request is None:
                return f"left out: {one.named} is not among the {one.key} that are filed"
        if self.project_of(context) is None:
            return f"left out: no project of Jira is set for {context.project}"
        return None
