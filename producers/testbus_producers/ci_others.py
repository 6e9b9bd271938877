"""Further CIs, one small function for each; the table is in `ci`.

Sources: CircleCI "Built-in environment variables", Azure Pipelines "Predefined variables", TeamCity "Predefined build
parameters", Travis "Default Environment Variables", Bitbucket "Variables and secrets", Buildkite "Environment
variables".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from testbus_producers.build import Build, number, part_of, slug_of_remote
from testbus_producers.settings import ShardOf

if TYPE_CHECKING:
    from collections.abc import Mapping

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
