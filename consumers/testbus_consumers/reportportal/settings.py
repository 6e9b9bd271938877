"""Settings of one ReportPortal target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from testbus_consumers.errors import SettingsError
from testbus_consumers.globs import matches_name
from testbus_consumers.settings import Secret, Section, require_tls

if TYPE_CHECKING:
    from testbus_schemas import RunContext


class ReportPortalTarget(Section):
    """Section `consumers.reportportal.targets.<name>`."""

    #: Address of the server, as `https://reportportal.example.com` (with or without `/api`).
    endpoint: str
    #: Project on that server.
    project: str = Field(min_length=1)
    #: API key of a member of that project.
    api_key: Secret
    #: Name of launches; fields are those of `launch_fields`.
    launch_name: str = "{project} {suite}"
    #: DEFAULT, or DEBUG to keep launches out of the project's list.
    mode: Literal["DEFAULT", "DEBUG"] = "DEFAULT"
    #: Attributes that every launch gets.
    attributes: dict[str, str] = Field(default_factory=dict)
    #: Whether a skipped test waits for a person (To Investigate), as ReportPortal's own agents have it by default.
    skipped_is_issue: bool = True
    #: Requests in flight at once, from each worker process.
    concurrency: int = Field(default=10, ge=1, le=100)
    #: Seconds until a request without an answer is given up.
    timeout_s: float = Field(default=10.0, gt=0)
    #: Whether an http:// endpoint that is not on this machine is allowed.
    allow_plaintext: bool = False
    #: Requests a second, from all workers together; unset: as many as there are to make. Fewer than the least that is
    #: allowed would not report a full event before its worker is taken for stuck.
    rate_per_s: float | None = Field(default=None, ge=5)
    #: Globs of the projects of testbus that are reported here; unset: all.
    projects: tuple[str, ...] | None = None
    #: Globs of the branches that are reported here; unset: all, and runs that know no branch.
    branches: tuple[str, ...] | None = None
    #: False leaves the target out: it does not run, and a queue that it has already keeps what comes.
    enabled: bool = True

    @field_validator("endpoint")
    @classmethod
    def _bare(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://reportportal.example.com")
        return value.rstrip("/").removesuffix("/api")

    @field_validator("launch_name")
    @classmethod
    def _known_fields(cls, value: str) -> str:
        fields = dict.fromkeys(LAUNCH_FIELDS, "x")
        try:
            value.format_map(fields)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            allowed = ", ".join(f"{{{name}}}" for name in LAUNCH_FIELDS)
            raise ValueError(f"not understood ({error}); fields that may be used: {allowed}") from None
        return value

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        try:
            require_tls(self.endpoint, "endpoint", allowed=self.allow_plaintext)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return self

    def leaves_out(self, context: RunContext) -> str | None:
        """Return why a run is not reported here, None when it is."""
        if self.projects is not None and not matches_name(context.project, self.projects):
            return f"left out: {context.project} is not among the target's projects"
        if self.branches is not None and not matches_name(context.branch, self.branches):
            named = f"branch {context.branch}" if context.branch else "a run without a branch"
            return f"left out: {named} is not among the target's branches"
        return None


#: What a launch's name may be made of: fields of a run's context that do not differ between its parts.
LAUNCH_FIELDS = ("project", "suite", "stage", "run", "repository", "branch", "commit", "base", "pull_request")


def launch_name(template: str, context: RunContext) -> str:
    """Return a launch's name; fields that the context leaves open are empty, white space is single."""
    fields = {name: getattr(context, name) or "" for name in LAUNCH_FIELDS}
    return " ".join(template.format_map(fields).split()) or context.project
