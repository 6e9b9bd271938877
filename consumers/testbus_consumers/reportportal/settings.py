"""Settings of one ReportPortal target."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from testbus_consumers.errors import SettingsError
from testbus_consumers.filters import RunFilter, matches_path
from testbus_consumers.reportportal.defect_rules import DefectRule
from testbus_consumers.settings import Secret, Section, require_tls

if TYPE_CHECKING:
    from testbus_schemas import Result, RunContext

#: How the items of a launch are arranged.
Tree = Literal["flat", "code", "directory"]


class TargetMode(StrEnum):
    """Which of the runs that its filters let through a target gets."""

    #: All of them.
    MIRROR = "mirror"
    #: Those that no target of a better priority can take.
    FAILOVER = "failover"
    #: A share of them: the others that balance get the rest.
    BALANCE = "balance"


class Tls(Section):
    """How an https:// endpoint is trusted, and how it can trust these workers. Nothing switches the check off."""

    #: PEM file with the certificates of a private CA (or the server's own); unset: those that this machine trusts.
    ca_file: Path | None = None
    #: PEM file with the certificate that the server is shown, and those that lead to its CA.
    certificate: Path | None = None
    #: PEM file with the key of that certificate, not encrypted; unset: it stands in the file `certificate`.
    key: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key and not self.certificate:
            raise ValueError("key is of no use without certificate")
        return self


class ReportPortalTarget(RunFilter):
    """Section `consumers.reportportal.targets.<name>`; its run filters say which runs are reported here."""

    #: Address of the server, as `https://reportportal.example.com` (with or without `/api`).
    endpoint: str
    #: Project on that server.
    project: str = Field(min_length=1)
    #: API key of a member of that project.
    api_key: Secret
    #: False leaves the target out: it does not run, and a queue that it has already keeps what comes.
    enabled: bool = True
    #: Which of the runs that the filters let through are reported here.
    mode: TargetMode = TargetMode.MIRROR
    #: With `failover`: which target is better; the lowest number is the best, no two are equal.
    priority: int = 1
    #: With `balance`: this target's share, in relation to the others'.
    weight: float = Field(default=1.0, gt=0)
    #: Globs of the test files that are reported here, as `tests/api/**`; unset: all. A run without any has no launch.
    paths: tuple[str, ...] | None = None
    #: Name of launches; fields are those of `launch_fields`.
    launch_name: str = "{project} {suite}"
    #: DEFAULT, or DEBUG to keep launches out of the project's list.
    launch_mode: Literal["DEFAULT", "DEBUG"] = "DEFAULT"
    #: Attributes that every launch gets.
    attributes: dict[str, str] = Field(default_factory=dict)
    #: Whether a skipped test waits for a person (To Investigate), as ReportPortal's own agents have it by default.
    skipped_is_issue: bool = True
    #: How items are arranged: `flat`; `code`, below suites of files and classes; `directory`, also of directories.
    tree: Tree = "flat"
    #: Which failures are which type of defect; the first rule that holds is taken.
    defects: tuple[DefectRule, ...] = Field(default=(), max_length=100)
    #: Requests in flight at once, from each worker process.
    concurrency: int = Field(default=50, ge=1, le=200)
    #: Seconds until a request without an answer is given up.
    timeout_s: float = Field(default=10.0, gt=0)
    #: Requests a second, from all workers together; unset: as many as there are to make. Fewer than the least that is
    #: allowed would not report a full event before its worker is taken for stuck.
    rate_per_s: float | None = Field(default=None, ge=5)
    #: Private CA and client certificate.
    tls: Tls = Tls()
    #: Whether an http:// endpoint that is not on this machine is allowed.
    allow_plaintext: bool = False

    _name: str = PrivateAttr(default="")
    _others: Mapping[str, ReportPortalTarget] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the target's name, "" before `arrange`."""
        return self._name

    @property
    def others(self) -> Mapping[str, ReportPortalTarget]:
        """Return the other targets by name, those that are not enabled too; they know nothing of each other."""
        return self._others

    @field_validator("endpoint")
    @classmethod
    def _bare(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://reportportal.example.com")
        if parts.username or parts.password:
            raise ValueError("no credentials here: use api_key")
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
        if self.tls != Tls() and not self.endpoint.startswith("https://"):
            raise ValueError("tls is of no use: the endpoint is not an https:// address")
        return self

    def leaves_out(self, context: RunContext) -> str | None:
        """Return why a run is not reported here, None when its filters let it through."""
        found = self.mismatches(context)
        return f"left out: {found[0].named} is not among the target's {found[0].key}" if found else None

    def wants(self, result: Result) -> bool:
        """Tell whether a result is reported here, in a run that is: by its file, or else by what it is called."""
        return self.paths is None or matches_path(result.file or result.node_id.partition("::")[0], self.paths)

    def wants_path(self, node_id: str | None) -> bool:
        """Tell the same by a test's node id alone; None stands for no test, and is reported with any."""
        return self.paths is None or node_id is None or matches_path(node_id.partition("::")[0], self.paths)


#: What a launch's name may be made of: fields of a run's context that do not differ between its parts.
LAUNCH_FIELDS = ("project", "suite", "stage", "run", "repository", "branch", "commit", "base", "pull_request")


def launch_name(template: str, context: RunContext) -> str:
    """Return a launch's name; fields that the context leaves open are empty, white space is single."""
    fields = {name: getattr(context, name) or "" for name in LAUNCH_FIELDS}
    return " ".join(template.format_map(fields).split()) or context.project


def arrange(targets: Mapping[str, ReportPortalTarget]) -> Mapping[str, ReportPortalTarget]:
    """Return the targets, each of which knows its name and the others.

    Raises ValueError where two of them could not be distinguished by priority.
    """
    ranks: dict[int, str] = {}
    for name, target in targets.items():
        if target.mode is TargetMode.FAILOVER and (rank := ranks.setdefault(target.priority, name)) != name:
            raise ValueError(
                f"{rank} and {name} have mode failover and the same priority {target.priority}: "
                "give each a priority of its own, the best one the lowest number"
            )
    found = {name: target.model_copy() for name, target in targets.items()}
    for name, target in found.items():
        target._name = name  # noqa: SLF001 its own module
        target._others = {other: targets[other] for other in targets if other != name}  # noqa: SLF001 as above
    return found
