"""Which build this is: one small function for each CI, and a table of them.

Sources: GitHub "Default environment variables", GitLab "Predefined CI/CD variables", Jenkins "Using environment
variables" with the Git and Branch API plugins. Further CIs are in `ci_others`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.settings import ShardOf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REMOTE: Final = r"(?:[a-z+]+://)?(?:[^@/\s]+@)?[^/:\s]+(?::\d+)?[/:](?P<slug>[^\s]+?)(?:\.git)?/?$"


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
    match = re.match(_REMOTE, remote.strip())
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


#: Bound in bytes of a file of parameters that is read.
_MAX_PROPERTIES: Final = 1024 * 1024


def circleci(env: Mapping[str, str]) -> Build:
    """Read CircleCI; a workflow that is run again is one of its own, so there are no attempts."""
    owner, name = env.get("CIRCLE_PROJECT_USERNAME"), env.get("CIRCLE_PROJECT_REPONAME")
    pull = (env.get("CIRCLE_PULL_REQUEST") or "").rpartition("/")[2]
    index, total = env.get("CIRCLE_NODE_INDEX"), number(env.get("CIRCLE_NODE_TOTAL"))
    return Build(
        ci="circleci",
        repository=f"{owner}/{name}" if owner and name else None,
        pipeline=env.get("CIRCLE_WORKFLOW_ID") or env.get("CIRCLE_BUILD_NUM"),
        suite=env.get("CIRCLE_JOB") or None,
        # A job that is not parallel is node 0 of 1.
        shard=_shard_from_0(index, total) if total and total > 1 else None,
        commit=env.get("CIRCLE_SHA1"),
        branch=env.get("CIRCLE_BRANCH") or env.get("CIRCLE_TAG"),
        pull_request=env.get("CIRCLE_PR_NUMBER") or pull or None,
        build_url=env.get("CIRCLE_BUILD_URL"),
        number=env.get("CIRCLE_BUILD_NUM") or None,
    )


def azure(env: Mapping[str, str]) -> Build:
    """Read Azure Pipelines, whose matrix and `parallel` both number jobs from 1; only the latter are shards."""
    total = number(env.get("SYSTEM_TOTALJOBSINPHASE"))
    matrix = env.get("SYSTEM_JOBNAME") not in {None, "", "__default", "Job", env.get("SYSTEM_PHASENAME")}
    parallel = bool(total and total > 1 and (not matrix or re.match(r"Job\d+$", env.get("SYSTEM_JOBNAME", ""))))
    base = f"{env.get('SYSTEM_COLLECTIONURI', '')}{env.get('SYSTEM_TEAMPROJECT', '')}"
    build = env.get("BUILD_BUILDID")
    return Build(
        ci="azure",
        repository=env.get("BUILD_REPOSITORY_NAME"),
        pipeline=build,
        suite=env.get("SYSTEM_PHASENAME") or env.get("BUILD_DEFINITIONNAME") or None,
        variant=env.get("SYSTEM_JOBNAME") if matrix and not parallel else None,
        shard=part_of(env.get("SYSTEM_JOBPOSITIONINPHASE"), env.get("SYSTEM_TOTALJOBSINPHASE")) if parallel else None,
        attempt=number(env.get("SYSTEM_JOBATTEMPT")) or 1,
        commit=env.get("SYSTEM_PULLREQUEST_SOURCECOMMITID") or env.get("BUILD_SOURCEVERSION"),
        base=_branch(env.get("SYSTEM_PULLREQUEST_TARGETBRANCH")),
        branch=_branch(env.get("SYSTEM_PULLREQUEST_SOURCEBRANCH") or env.get("BUILD_SOURCEBRANCH")),
        pull_request=env.get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER") or env.get("SYSTEM_PULLREQUEST_PULLREQUESTID"),
        build_url=f"{base}/_build/results?buildId={build}" if base and build else None,
        number=env.get("BUILD_BUILDNUMBER") or build or None,
    )


def teamcity(env: Mapping[str, str]) -> Build:
    """Read TeamCity, which says little by environment; the build's parameters file says the rest."""
    known = _teamcity_properties(env)
    server, build = known.get("teamcity.serverUrl"), known.get("teamcity.build.id")
    url = env.get("BUILD_URL") or (f"{server}/build/{build}" if server and build else None)
    project = env.get("TEAMCITY_PROJECT_NAME") or known.get("teamcity.projectName")
    configuration = env.get("TEAMCITY_BUILDCONF_NAME") or known.get("teamcity.buildConfName")
    number = build or env.get("BUILD_NUMBER") or known.get("build.number")
    branch = known.get("teamcity.build.branch")
    pull = re.fullmatch(r"(?:pull|pull-requests|merge-requests)/(\d+)(?:/\w+)?", branch or "")
    return Build(
        ci="teamcity",
        repository=slug_of_remote(known.get("vcsroot.url", "")) or project or None,
        pipeline=f"{configuration or ''}#{number}" if number else None,
        suite=configuration or None,
        commit=env.get("BUILD_VCS_NUMBER") or known.get("build.vcs.number"),
        base=_branch(known.get("teamcity.pullRequest.target.branch")),
        branch=_branch(known.get("teamcity.pullRequest.source.branch") or branch),
        pull_request=known.get("teamcity.pullRequest.number") or (pull[1] if pull else None),
        build_url=url,
        number=env.get("BUILD_NUMBER") or known.get("build.number") or None,
    )


def travis(env: Mapping[str, str]) -> Build:
    """Read Travis CI."""
    pull = env.get("TRAVIS_PULL_REQUEST")
    pull = pull if pull and pull != "false" else None
    return Build(
        ci="travis",
        repository=env.get("TRAVIS_REPO_SLUG"),
        pipeline=env.get("TRAVIS_BUILD_ID"),
        suite=env.get("TRAVIS_JOB_NAME") or env.get("TRAVIS_BUILD_STAGE_NAME") or None,
        commit=(env.get("TRAVIS_PULL_REQUEST_SHA") if pull else None) or env.get("TRAVIS_COMMIT"),
        base=env.get("TRAVIS_BRANCH") if pull else None,
        branch=(env.get("TRAVIS_PULL_REQUEST_BRANCH") if pull else None) or env.get("TRAVIS_BRANCH"),
        pull_request=pull,
        build_url=env.get("TRAVIS_JOB_WEB_URL") or env.get("TRAVIS_BUILD_WEB_URL"),
        number=env.get("TRAVIS_BUILD_NUMBER") or None,
    )


def bitbucket(env: Mapping[str, str]) -> Build:
    """Read Bitbucket Pipelines; it names steps only by an id of each run, so the suite is not the step."""
    total = number(env.get("BITBUCKET_PARALLEL_STEP_COUNT"))
    slug, build = env.get("BITBUCKET_REPO_FULL_NAME"), env.get("BITBUCKET_BUILD_NUMBER")
    return Build(
        ci="bitbucket",
        repository=slug,
        pipeline=build,
        shard=_shard_from_0(env.get("BITBUCKET_PARALLEL_STEP"), total) if total and total > 1 else None,
        attempt=number(env.get("BITBUCKET_STEP_RUN_NUMBER")) or 1,
        commit=env.get("BITBUCKET_COMMIT"),
        base=env.get("BITBUCKET_PR_DESTINATION_BRANCH"),
        branch=env.get("BITBUCKET_BRANCH") or env.get("BITBUCKET_TAG"),
        pull_request=env.get("BITBUCKET_PR_ID"),
        build_url=f"https://bitbucket.org/{slug}/pipelines/results/{build}" if slug and build else None,
        number=build or None,
    )


def buildkite(env: Mapping[str, str]) -> Build:
    """Read Buildkite."""
    pull = env.get("BUILDKITE_PULL_REQUEST")
    job = env.get("BUILDKITE_JOB_ID")
    url = env.get("BUILDKITE_BUILD_URL")
    total = number(env.get("BUILDKITE_PARALLEL_JOB_COUNT"))
    return Build(
        ci="buildkite",
        repository=slug_of_remote(env.get("BUILDKITE_REPO", "")) or env.get("BUILDKITE_PIPELINE_SLUG"),
        pipeline=env.get("BUILDKITE_BUILD_ID"),
        suite=env.get("BUILDKITE_STEP_KEY") or env.get("BUILDKITE_LABEL") or None,
        shard=_shard_from_0(env.get("BUILDKITE_PARALLEL_JOB"), total) if total and total > 1 else None,
        attempt=1 + (number(env.get("BUILDKITE_RETRY_COUNT")) or 0),
        commit=env.get("BUILDKITE_COMMIT"),
        base=env.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH") or None,
        branch=env.get("BUILDKITE_BRANCH"),
        pull_request=pull if pull and pull != "false" else None,
        build_url=f"{url}#{job}" if url and job else url,
        number=env.get("BUILDKITE_BUILD_NUMBER") or None,
    )


def _shard_from_0(index: str | None, total: int) -> ShardOf | None:
    """Return the part of a CI that counts from 0."""
    first = number(index)
    return ShardOf(index=first + 1, total=total) if first is not None and first < total else None


def _branch(ref: str | None) -> str | None:
    """Return a branch without what git puts before it."""
    return (ref.removeprefix("refs/heads/") if ref else None) or None


def _teamcity_properties(env: Mapping[str, str]) -> dict[str, str]:
    """Return the build's parameters, and those of its configuration, which hold the branch; empty without the files."""
    known = _java_properties(env.get("TEAMCITY_BUILD_PROPERTIES_FILE"))
    return _java_properties(known.get("teamcity.configuration.properties.file")) | known


def _java_properties(path: str | None) -> dict[str, str]:
    """Return what is in a Java properties file, as far as TeamCity uses its form; empty when it cannot be read."""
    try:
        if not path or Path(path).stat().st_size > _MAX_PROPERTIES:
            return {}
        text = Path(path).read_text(encoding="iso-8859-1")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith(("#", "!")))
    return {key.strip(): re.sub(r"\\(.)", r"\1", value.strip()) for key, _, value in pairs}


__all__ = ["Build", "detect", "slug_of_remote"]

#: Bound in bytes of a CI's event payload that is read.
_MAX_PAYLOAD: Final = 8 * 1024 * 1024

#: ` 2/4` at the end of the name of a GitLab job that `parallel: 4` split.
_GITLAB_PART: Final = r" (\d+)/(\d+)$"

#: `: [py312, linux]` at the end of the name of a GitLab job of a `parallel: matrix`.
_GITLAB_MATRIX: Final = r": \[(.+)\]$"


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
    part, matrix = re.search(_GITLAB_PART, job), re.search(_GITLAB_MATRIX, job)
    shard = None
    if part or (env.get("CI_NODE_INDEX") and not matrix):
        shard = part_of(env.get("CI_NODE_INDEX") or (part and part[1]), env.get("CI_NODE_TOTAL") or (part and part[2]))
    return Build(
        ci="gitlab",
        repository=env.get("CI_PROJECT_PATH"),
        pipeline=env.get("CI_PIPELINE_ID"),
        suite=re.sub(_GITLAB_MATRIX, "", re.sub(_GITLAB_PART, "", job)) or None,
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
    ("CIRCLECI", circleci),
    ("TF_BUILD", azure),
    ("TEAMCITY_VERSION", teamcity),
    ("TRAVIS", travis),
    ("BITBUCKET_BUILD_NUMBER", bitbucket),
    ("BUILDKITE", buildkite),
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
