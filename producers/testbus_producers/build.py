"""What a CI says of a build, and how its variables are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbus_producers.settings import ShardOf

_REMOTE = re.compile(r"(?:[a-z+]+://)?(?:[^@/\s]+@)?[^/:\s]+(?::\d+)?[/:](?P<slug>[^\s]+?)(?:\.git)?/?$")


@dataclass(frozen=True, kw_only=True)
class Build:
    """What the CI says of the build that this process belongs to; None where it says nothing."""

    #: github, gitlab, jenkins, circleci, azure, teamcity, travis, bitbucket, buildkite or local.
    ci: str
    #: Repository slug, `owner/name`.
    repository: str | None = None
    #: What tells this pipeline from every other of the repository; None outside of a CI.
    pipeline: str | None = None
    #: Suite: the name of the CI's job, for jobs are what a CI repeats on its own.
    suite: str | None = None
    #: Variant, where the CI tells the parts of a matrix apart.
    variant: str | None = None
    #: Part, where the CI splits a job.
    shard: ShardOf | None = None
    #: Attempt at this job, from 1, higher for a later one (not always by one).
    attempt: int = 1
    #: Full commit id under test; for a pull request its head, not the trial merge.
    commit: str | None = None
    #: Commit or branch that a pull request goes to.
    base: str | None = None
    #: Branch under test.
    branch: str | None = None
    #: Number of the pull request.
    pull_request: str | None = None
    #: Address of the CI's page.
    build_url: str | None = None
    #: What the CI calls the build in its own pages, without a `#`.
    number: str | None = None


def slug_of_remote(remote: str) -> str | None:
    """Return `owner/name` of a git remote's address, None when it has no such form."""
    match = _REMOTE.match(remote.strip())
    return match["slug"].strip("/") if match else None


def part_of(index: str | None, total: str | None) -> ShardOf | None:
    """Return the part of a CI that counts from 1; None when it makes no sense."""
    first, last = number(index), number(total)
    if not first or (last and first > last):
        return None
    return ShardOf(index=first, total=last)


def number(text: str | None) -> int | None:
    """Return a whole number; None when it is none."""
    return int(text) if text and text.isdecimal() else None
