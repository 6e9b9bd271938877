"""Which build this is, as CircleCI, Azure Pipelines, TeamCity, Travis, Bitbucket and Buildkite say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_producers.context import ci, run_context
from testbus_producers.settings import ShardOf

if TYPE_CHECKING:
    from pathlib import Path

SHA = "c" * 40

CIRCLE = {
    "CIRCLECI": "true",
    "CIRCLE_PROJECT_USERNAME": "acme",
    "CIRCLE_PROJECT_REPONAME": "shop",
    "CIRCLE_WORKFLOW_ID": "9a1b",
    "CIRCLE_BUILD_NUM": "17",
    "CIRCLE_JOB": "unit",
    "CIRCLE_NODE_INDEX": "0",
    "CIRCLE_NODE_TOTAL": "1",
    "CIRCLE_SHA1": SHA,
    "CIRCLE_BRANCH": "feature",
    "CIRCLE_BUILD_URL": "https://circleci.com/gh/acme/shop/17",
}

AZURE = {
    "TF_BUILD": "True",
    "BUILD_REPOSITORY_NAME": "acme/shop",
    "BUILD_BUILDID": "314",
    "BUILD_DEFINITIONNAME": "shop CI",
    "BUILD_SOURCEVERSION": "m" * 40,
    "BUILD_SOURCEBRANCH": "refs/heads/feature/x",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
    "SYSTEM_TEAMPROJECT": "shop",
    "SYSTEM_PHASENAME": "unit",
    "SYSTEM_JOBNAME": "__default",
    "SYSTEM_JOBATTEMPT": "2",
    "SYSTEM_TOTALJOBSINPHASE": "1",
    "SYSTEM_JOBPOSITIONINPHASE": "1",
}

TRAVIS = {
    "TRAVIS": "true",
    "TRAVIS_REPO_SLUG": "acme/shop",
    "TRAVIS_BUILD_ID": "55",
    "TRAVIS_JOB_NAME": "unit",
    "TRAVIS_COMMIT": "m" * 40,
    "TRAVIS_BRANCH": "main",
    "TRAVIS_PULL_REQUEST": "false",
    "TRAVIS_JOB_WEB_URL": "https://app.travis-ci.com/acme/shop/jobs/56",
}

BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "12",
    "BITBUCKET_REPO_FULL_NAME": "acme/shop",
    "BITBUCKET_COMMIT": SHA,
    "BITBUCKET_BRANCH": "feature",
}

BUILDKITE = {
    "BUILDKITE": "true",
    "BUILDKITE_REPO": "git@github.com:acme/shop.git",
    "BUILDKITE_BUILD_ID": "b-1",
    "BUILDKITE_JOB_ID": "j-1",
    "BUILDKITE_LABEL": "unit",
    "BUILDKITE_COMMIT": SHA,
    "BUILDKITE_BRANCH": "feature",
    "BUILDKITE_PULL_REQUEST": "false",
    "BUILDKITE_BUILD_URL": "https://buildkite.com/acme/shop/builds/8",
    "BUILDKITE_RETRY_COUNT": "1",
}


def test_a_circleci_job_is_its_workflow() -> None:
    """All jobs of a workflow share its id; a job that is not parallel is no shard."""
    build = ci.detect(CIRCLE | {"CIRCLE_PULL_REQUEST": "https://github.com/acme/shop/pull/9"})
    assert run_context.run_id(build, build.suite or "") == "circleci:acme/shop:9a1b:unit"
    assert (build.commit, build.branch, build.pull_request, build.shard) == (SHA, "feature", "9", None)


def test_a_parallel_circleci_job_is_a_shard() -> None:
    """Its nodes count from 0."""
    build = ci.detect(CIRCLE | {"CIRCLE_NODE_INDEX": "3", "CIRCLE_NODE_TOTAL": "4"})
    assert build.shard == ShardOf(index=4, total=4)


def test_an_azure_job_is_its_build_and_phase() -> None:
    """A job that is run again has a higher attempt."""
    build = ci.detect(AZURE)
    assert run_context.run_id(build, build.suite or "") == "azure:acme/shop:314:unit"
    assert (build.branch, build.attempt, build.shard, build.variant) == ("feature/x", 2, None, None)
    assert build.build_url == "https://dev.azure.com/acme/shop/_build/results?buildId=314"


def test_an_azure_pull_request_is_about_its_source() -> None:
    """Not the trial merge."""
    build = ci.detect(
        AZURE
        | {
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "9",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "900001",
            "SYSTEM_PULLREQUEST_SOURCECOMMITID": SHA,
            "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/feature/x",
            "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main",
        }
    )
    assert (build.pull_request, build.commit, build.branch, build.base) == ("9", SHA, "feature/x", "main")


def test_azure_tells_a_matrix_from_a_split_job() -> None:
    """Both number their jobs; those of a matrix have names."""
    split = {"SYSTEM_TOTALJOBSINPHASE": "3", "SYSTEM_JOBPOSITIONINPHASE": "2"}
    parallel = ci.detect(AZURE | split | {"SYSTEM_JOBNAME": "Job2"})
    assert (parallel.shard, parallel.variant) == (ShardOf(index=2, total=3), None)
    matrix = ci.detect(AZURE | split | {"SYSTEM_JOBNAME": "Python312"})
    assert (matrix.shard, matrix.variant) == (None, "Python312")


def test_teamcity_says_most_in_files_of_parameters(tmp_path: Path) -> None:
    """Java properties, of which the first names the second."""
    build_file, configuration = tmp_path / "build.properties", tmp_path / "configuration.properties"
    build_file.write_text(f"#comment\nteamcity.configuration.properties.file={configuration}\nteamcity.build.id=4711\n")
    configuration.write_text(
        "teamcity.serverUrl=https\\://tc.example\nvcsroot.url=https\\://git.example/acme/shop.git\n"
        "teamcity.build.branch=pull/9\nteamcity.pullRequest.target.branch=main\n"
        "teamcity.pullRequest.source.branch=feature\n"
    )
    build = ci.detect(
        {
            "TEAMCITY_VERSION": "2026.1",
            "TEAMCITY_PROJECT_NAME": "Shop",
            "TEAMCITY_BUILDCONF_NAME": "Unit",
            "TEAMCITY_BUILD_PROPERTIES_FILE": str(build_file),
            "BUILD_NUMBER": "8",
            "BUILD_VCS_NUMBER": SHA,
        }
    )
    assert run_context.run_id(build, build.suite or "") == "teamcity:acme/shop:Unit#4711:Unit"
    assert (build.commit, build.branch, build.base, build.pull_request) == (SHA, "feature", "main", "9")
    assert build.build_url == "https://tc.example/build/4711"


def test_teamcity_without_the_files_says_what_it_can() -> None:
    """A container may not see them."""
    known = {"TEAMCITY_PROJECT_NAME": "Shop", "TEAMCITY_BUILDCONF_NAME": "Unit", "BUILD_NUMBER": "8"}
    build = ci.detect({"TEAMCITY_VERSION": "2026.1", "TEAMCITY_BUILD_PROPERTIES_FILE": "/nowhere"} | known)
    assert run_context.run_id(build, build.suite or "") == "teamcity:Shop:Unit#8:Unit"


def test_a_travis_job_is_its_build() -> None:
    """`false` is its way to say that there is no pull request."""
    build = ci.detect(TRAVIS)
    assert run_context.run_id(build, build.suite or "") == "travis:acme/shop:55:unit"
    assert (build.pull_request, build.branch, build.base, build.commit) == (None, "main", None, "m" * 40)
    pull = {"TRAVIS_PULL_REQUEST": "9", "TRAVIS_PULL_REQUEST_SHA": SHA, "TRAVIS_PULL_REQUEST_BRANCH": "feature"}
    build = ci.detect(TRAVIS | pull)
    assert (build.pull_request, build.branch, build.base, build.commit) == ("9", "feature", "main", SHA)


def test_a_bitbucket_step_is_its_pipeline() -> None:
    """Parallel steps count from 0; a step that is run again counts its runs."""
    split = {"BITBUCKET_PARALLEL_STEP": "0", "BITBUCKET_PARALLEL_STEP_COUNT": "2", "BITBUCKET_STEP_RUN_NUMBER": "3"}
    build = ci.detect(BITBUCKET | split | {"BITBUCKET_PR_ID": "9", "BITBUCKET_PR_DESTINATION_BRANCH": "main"})
    assert run_context.run_id(build, "default") == "bitbucket:acme/shop:12:default"
    assert (build.shard, build.attempt, build.pull_request, build.base) == (ShardOf(index=1, total=2), 3, "9", "main")
    assert build.build_url == "https://bitbucket.org/acme/shop/pipelines/results/12"


def test_a_buildkite_job_is_its_build() -> None:
    """Its retries and its parts are counted."""
    build = ci.detect(BUILDKITE | {"BUILDKITE_PARALLEL_JOB": "1", "BUILDKITE_PARALLEL_JOB_COUNT": "5"})
    assert run_context.run_id(build, build.suite or "") == "buildkite:acme/shop:b-1:unit"
    assert (build.attempt, build.shard, build.pull_request) == (2, ShardOf(index=2, total=5), None)
    assert build.build_url == "https://buildkite.com/acme/shop/builds/8#j-1"
