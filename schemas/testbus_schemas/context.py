"""The context of a run: in every event, so that no event needs another to have come first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, model_validator

from testbus_schemas.model import ClaimedInstant, Instant, Model

if TYPE_CHECKING:
    from datetime import datetime

#: A project's name: what routing keys and rights are made of.
ProjectName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]

#: Ids that stand for no run: of what belongs to a project, and to a day.
_OF_PROJECT: Final = re.compile(r"-\d{4}-\d{2}-\d{2}")

#: Identity of a run.
RunId = Annotated[str, Field(min_length=1, max_length=256)]


class Shard(Model):
    """A disjoint part of a variant's tests."""

    #: Number of this part, 1 to `total`.
    index: int = Field(ge=1, le=10_000)
    #: How many parts there are; None while nobody knows.
    total: int | None = Field(default=None, ge=1, le=10_000)

    @model_validator(mode="after")
    def _index_within_total(self) -> Self:
        if self.total is not None and self.index > self.total:
            raise ValueError(f"shard {self.index} of {self.total}: the index begins at 1 and ends at the total")
        return self


class RunReference(Model):
    """Another run than the context's, with what people know it by."""

    #: Run id.
    run: str
    #: What its CI calls it, without a `#`; None where it has no number.
    number: str | None = None
    #: Full commit id.
    commit: str | None = None
    #: Address of the CI's page.
    build_url: str | None = None
    #: When it started; None where that is not known any more.
    started_at: Instant | None = None


class RunContext(Model):
    """What every event says of its run: at most 4 KiB, immutable; of two differing values the first wins."""

    #: Project, as in routing keys and rights.
    project: ProjectName
    #: Run id: `<ci>:<repository>:<pipeline>:<suite>`, or a UUIDv7 locally.
    run: RunId
    #: Name of the suite.
    suite: str = Field(default="default", min_length=1, max_length=128)
    #: Stage of the pipeline (smoke, unit, integration, …).
    stage: str | None = Field(default=None, max_length=64)
    #: Component that all of the run's tests and files belong to; None: what the configuration's globs say.
    component: str | None = Field(default=None, min_length=1, max_length=48)
    #: Environment in which the same tests run again; results of two variants never mix.
    variant: str = Field(default="default", min_length=1, max_length=128)
    #: Part of the variant's tests; None when they are not split.
    shard: Shard | None = None
    #: The CI's attempt at this shard, from 1; a higher one supersedes the lower.
    attempt: int = Field(default=1, ge=1)
    #: Repository slug, `owner/name`.
    repository: str | None = Field(default=None, max_length=256)
    #: Full commit id under test.
    commit: str | None = Field(default=None, max_length=64)
    #: Branch or commit that this one is compared with.
    base: str | None = Field(default=None, max_length=256)
    #: Branch under test.
    branch: str | None = Field(default=None, max_length=256)
    #: Number or id of the pull request.
    pull_request: str | None = Field(default=None, max_length=64)
    #: Environment labels (os, python, browser, …).
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    #: Address of the CI's page of this build.
    build_url: str | None = Field(default=None, max_length=1024)
    #: What the CI calls this build, without a `#`: `101`; only for people.
    run_number: str | None = Field(default=None, max_length=64)
    #: When the run started.
    started_at: Instant
    #: When the runner's clock said that it started, where that was more than a day ahead of the event's reception;
    #: `started_at` is when the event was received then. Set by whoever reads; None from runners.
    started_at_claimed: ClaimedInstant | None = None

    @property
    def shard_index(self) -> int:
        """Return the shard's index, 0 when the tests are not split."""
        return self.shard.index if self.shard else 0


def project_context(project: str, at: datetime) -> RunContext:
    """Return the context of what belongs to a project and to no run; its run id is one that runners may not use."""
    return RunContext(project=project, run=f"-{at:%Y-%m-%d}", started_at=at)


def is_of_project(run: str) -> bool:
    """Tell whether a run id is one of `project_context`."""
    return _OF_PROJECT.fullmatch(run) is not None
