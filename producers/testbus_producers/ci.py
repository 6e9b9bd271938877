"""Which build this is: one small function for each CI, and a table of them.

Sources: GitHub "Default environment variables", GitLab "Predefined CI/CD variables", Jenkins "Using environment
variables" with the Git and Branch API plugins. Further CIs are in `ci_others`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers import ci_others
from testbus_producers.build import Build, number, part_of, slug_of_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Build", "detect", "slug_of_remote"]

#: Bound in bytes of a CI's event payload that is read.
_MAX_PAYLOAD: Final = 8 * 1024 * 1024

#: ` 2/4` at the end of the name of a GitLab job that `parallel: 4` split.
_GITLAB_PART = re.compile(r" (\d+)/(\d+)$")

#: `: [py312, linux]` at the end of the name of a GitLab job of a `parallel: matrix`.
_GITLAB_MATRIX = re.compile(r": \[(.+)\]$")


def detect(environ: Mapping[str, str]) -> Build:
    """Return the build of the first CI in the table that recognises the environment; else a local one, empty."""
    for variable, describe in _TABLE:
        if environ.get(variable):
            return describe(environ)
    return Build(ci="local")


def _github(env: Mapping[str, str]) -> Build:
    pull = _github_payload(env).get("pull_request") or {}
    repository, run = env.get("GITHUB_REPOSITORY"), env.get("GITHUB_RUN_ID")
    attempt = number(env.get("GITHUB_RUN_ATTEMPT")) or 1
    server = env.get("GITHUB_SERVER_URL", "https://github.com")
    asked = pull.get("number") or _pull_of_ref(env.get("GITHUB_REF", ""))
    return Build(
        ci="github",
        repository=repository,
        pipeline=run,
        suite=env.get("GITHUB_JOB") or None,
        attempt=attempt,
        commit=(pull.get("head") or {}).get("sha") or env.get("GITHUB_SHA"),
        base=(pull.get("base") or {}).get("sha") or env.get("GITHUB_BASE_REF") or None,
        branch=env.get("GITHUB_HEAD_REF") or env.get("GITHUB_REF_NAME") or None,
        pull_request=str(asked) if asked else None,
        build_url=f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}" if repository and run else None,
        number=env.get("GITHUB_RUN_NUMBER") or None,
    )


def _gitlab(env: Mapping[str, str]) -> Build:
    job = env.get("CI_JOB_NAME", "")
    part, matrix = _GITLAB_PART.search(job), _GITLAB_MATRIX.search(job)
    shard = None
    if part or (env.get("CI_NODE_INDEX") and not matrix):
        shard = part_of(env.get("CI_NODE_INDEX") or (part and part[1]), env.get("CI_NODE_TOTAL") or (part and part[2]))
    return Build(
        ci="gitlab",
        repository=env.get("CI_PROJECT_PATH"),
        pipeline=env.get("CI_PIPELINE_ID"),
        suite=_GITLAB_MATRIX.sub("", _GITLAB_PART.sub("", job)) or None,
        variant=matrix[1] if matrix else None,
        shard=shard,
        attempt=_gitlab_attempt(env),
        commit=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or env.get("CI_COMMIT_SHA"),
        base=env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA") or env.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        branch=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or env.get("CI_COMMIT_REF_NAME"),
        pull_request=env.get("CI_MERGE_REQUEST_IID"),
        build_url=env.get("CI_JOB_URL") or env.get("CI_PIPELINE_URL"),
        number=env.get("CI_PIPELINE_ID") or None,
    )


def _gitlab_attempt(env: Mapping[str, str]) -> int:
    """Return 1 + the seconds from the pipeline's creation to the job's start.

    GitLab does not count retries. A retried job starts later than the one it repeats, so this grows with each retry,
    and unlike the job's id it fits into 32 bits.
    """
    try:
        created = datetime.fromisoformat(env["CI_PIPELINE_CREATED_AT"])
        started = datetime.fromisoformat(env["CI_JOB_STARTED_AT"])
        return 1 + max(0, int((started - created).total_seconds()))
    except (KeyError, ValueError, TypeError):
        return number(env.get("CI_JOB_ID")) or 1


def _jenkins(env: Mapping[str, str]) -> Build:
    url = env.get("GIT_URL") or env.get("GIT_URL_1") or ""
    job = env.get("JOB_NAME", "")
    build = env.get("BUILD_ID") or env.get("BUILD_NUMBER")
    branch = env.get("CHANGE_BRANCH") or env.get("BRANCH_NAME") or env.get("GIT_BRANCH")
    return Build(
        ci="jenkins",
        repository=slug_of_remote(url) or job or None,
        pipeline=f"{job}#{build}" if build else None,
        suite=env.get("STAGE_NAME") or None,
        commit=env.get("GIT_COMMIT"),
        base=env.get("CHANGE_TARGET") or None,
        branch=branch.removeprefix("origin/") if branch else None,
        pull_request=env.get("CHANGE_ID") or None,
        build_url=env.get("BUILD_URL") or None,
        number=env.get("BUILD_NUMBER") or None,
    )


#: The CIs that are known, by the variable that each of them sets.
_TABLE: Final[tuple[tuple[str, Callable[[Mapping[str, str]], Build]], ...]] = (
    ("GITHUB_ACTIONS", _github),
    ("GITLAB_CI", _gitlab),
    ("CIRCLECI", ci_others.circleci),
    ("TF_BUILD", ci_others.azure),
    ("TEAMCITY_VERSION", ci_others.teamcity),
    ("TRAVIS", ci_others.travis),
    ("BITBUCKET_BUILD_NUMBER", ci_others.bitbucket),
    ("BUILDKITE", ci_others.buildkite),
    ("JENKINS_URL", _jenkins),
)


def _github_payload(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the event that started the workflow; empty when it cannot be read."""
    try:
        path = Path(env["GITHUB_EVENT_PATH"])
        if path.stat().st_size > _MAX_PAYLOAD:
            return {}
        payload = json.loads(path.read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _pull_of_ref(ref: str) -> str | None:
    match = re.fullmatch(r"refs/pull/(\d+)/\w+", ref)
    return match[1] if match else None
