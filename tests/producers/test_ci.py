"""CI detection: which build this is, from what each CI sets."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from testbus_producers import settings
from testbus_producers.context import ci, git, run_context
from testbus_producers.settings import ShardOf

if TYPE_CHECKING:
    from pathlib import Path

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/Web_Shop",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": "m" * 40,
    "GITHUB_REF_NAME": "main",
    "GITHUB_JOB": "unit",
    "GITHUB_SERVER_URL": "https://github.com",
}

GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/shop",
    "CI_PIPELINE_ID": "500",
    "CI_JOB_ID": "9000000001",
    "CI_JOB_NAME": "unit 2/4",
    "CI_NODE_INDEX": "2",
    "CI_NODE_TOTAL": "4",
    "CI_JOB_URL": "https://gitlab.com/acme/shop/-/jobs/9000000001",
    "CI_COMMIT_SHA": "a" * 40,
    "CI_COMMIT_REF_NAME": "main",
    "CI_PIPELINE_CREATED_AT": "2026-11-20T11:00:00Z",
    "CI_JOB_STARTED_AT": "2026-11-20T11:01:40Z",
}


def test_a_github_push_is_its_repository_run_and_job() -> None:
    """The run has no attempt in its id, so that a repeated job joins its run."""
    build = ci.detect(GITHUB)
    assert (build.commit, build.branch, build.pull_request, build.attempt) == ("m" * 40, "main", None, 2)
    assert build.build_url == "https://github.com/acme/Web_Shop/actions/runs/77/attempts/2"
    known = run_context.begin(settings.read(environ={}), build)
    assert known["run"] == "github:acme/Web_Shop:77:unit"
    assert known["project"] == "acme-web-shop"


def test_a_github_pull_request_is_about_its_head_not_the_trial_merge(tmp_path: Path) -> None:
    """Commit and base come from the event's payload."""
    payload = tmp_path / "event.json"
    payload.write_text(
        json.dumps({"pull_request": {"number": 5, "head": {"sha": "h" * 40}, "base": {"sha": "b" * 40}}})
    )
    pull = {"GITHUB_EVENT_PATH": str(payload), "GITHUB_HEAD_REF": "feature", "GITHUB_BASE_REF": "main"}
    build = ci.detect(GITHUB | pull)
    assert (build.commit, build.base, build.branch, build.pull_request) == ("h" * 40, "b" * 40, "feature", "5")


@pytest.mark.parametrize("content", [None, "not json", "[]"])
def test_a_github_payload_that_cannot_be_read_costs_only_what_it_says(tmp_path: Path, content: str | None) -> None:
    """Without a payload the variables are used."""
    payload = tmp_path / "event.json"
    if content is not None:
        payload.write_text(content)
    build = ci.detect(
        GITHUB | {"GITHUB_EVENT_PATH": str(payload), "GITHUB_REF": "refs/pull/5/merge", "GITHUB_BASE_REF": "main"}
    )
    assert (build.commit, build.base, build.pull_request) == ("m" * 40, "main", "5")


def test_a_parallel_gitlab_job_is_a_shard_of_its_suite() -> None:
    """`parallel: 4` gives the parts of one suite."""
    build = ci.detect(GITLAB)
    assert (build.suite, build.shard, build.variant) == ("unit", ShardOf(index=2, total=4), None)
    assert run_context.run_id(build, "unit") == "gitlab:acme/shop:500:unit"


def test_a_gitlab_matrix_gives_variants_not_shards() -> None:
    """Jobs of a matrix run the same tests elsewhere."""
    build = ci.detect(GITLAB | {"CI_JOB_NAME": "unit: [py312, linux]"})
    assert (build.suite, build.shard, build.variant) == ("unit", None, "py312, linux")


def test_a_retried_gitlab_job_has_a_higher_attempt() -> None:
    """GitLab counts no retries; the later start does."""
    first = ci.detect(GITLAB)
    second = ci.detect(GITLAB | {"CI_JOB_ID": "9000000777", "CI_JOB_STARTED_AT": "2026-11-20T11:09:00Z"})
    assert first.attempt == 101
    assert second.attempt > first.attempt


def test_an_old_gitlab_without_times_uses_the_id_of_the_job() -> None:
    """Job ids grow, too."""
    old = {name: value for name, value in GITLAB.items() if not name.endswith("_AT")}
    assert ci.detect(old).attempt == 9000000001


def test_a_gitlab_merge_request_is_about_its_source() -> None:
    """Branch, base and number are those of the merge request."""
    build = ci.detect(
        GITLAB
        | {
            "CI_MERGE_REQUEST_IID": "12",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "s" * 40,
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "d" * 40,
        }
    )
    assert (build.pull_request, build.branch, build.commit, build.base) == ("12", "feature", "s" * 40, "d" * 40)


def test_a_jenkins_build_is_its_job_and_number() -> None:
    """Two jobs of one repository never share a run, though their numbers may be equal."""
    build = ci.detect(
        {
            "JENKINS_URL": "https://ci.example/",
            "JOB_NAME": "shop/PR-3",
            "BUILD_ID": "8",
            "BUILD_URL": "https://ci.example/job/shop/8/",
            "GIT_URL": "git@git.example:acme/shop.git",
            "GIT_COMMIT": "c" * 40,
            "CHANGE_ID": "3",
            "CHANGE_BRANCH": "feature",
            "CHANGE_TARGET": "main",
        }
    )
    assert run_context.run_id(build, "default") == "jenkins:acme/shop:shop/PR-3#8:default"
    assert (build.branch, build.base, build.pull_request, build.commit) == ("feature", "main", "3", "c" * 40)


def test_outside_of_a_ci_every_session_is_a_run_of_its_own() -> None:
    """A new id each time, unless TESTBUS_RUN_ID hands one on."""
    local, told = ci.detect({}), settings.read(environ={})
    assert run_context.begin(told, local, folder="My Shop")["project"] == "my-shop"
    assert run_context.begin(told, local)["run"] != run_context.begin(told, local)["run"]
    assert run_context.begin(settings.read(environ={"TESTBUS_RUN_ID": "mine"}), local)["run"] == "mine"


def test_outside_of_a_ci_git_says_commit_branch_and_repository(tmp_path: Path) -> None:
    """What git knows completes the context."""
    for command in (
        "init -q -b main",
        "-c user.name=x -c user.email=x@example.com commit -q --allow-empty -m x",
        "remote add origin https://user:token@github.com/acme/shop.git",
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command.split()], check=True)
    told = settings.read(environ={})
    known = run_context.complete(run_context.begin(told, ci.detect({})), told.project, git.describe(tmp_path))
    assert (known["project"], known["repository"], known["branch"]) == ("acme-shop", "acme/shop", "main")
    assert len(known["commit"]) == 40


def test_a_folder_without_git_says_nothing(tmp_path: Path) -> None:
    """No repository is no error."""
    assert git.describe(tmp_path / "missing") == git.WorkingCopy()


@pytest.mark.parametrize(
    ("remote", "slug"),
    [
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("ssh://git@git.example:2222/group/sub/shop", "group/sub/shop"),
        ("https://user:pass@gitlab.com/acme/shop/", "acme/shop"),
    ],
)
def test_the_slug_of_a_remote_is_found(remote: str, slug: str) -> None:
    """Whatever form the address has."""
    assert ci.slug_of_remote(remote) == slug


def test_a_run_id_is_never_too_long_and_stays_distinct() -> None:
    """A long suite is cut, with a digest of what it was."""
    build = ci.detect(GITHUB)
    runs = {run_context.run_id(build, "x" * 300 + end) for end in "ab"}
    assert len(runs) == 2
    assert all(run is not None and len(run) <= 256 for run in runs)


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        (GITHUB | {"GITHUB_RUN_NUMBER": "102"}, "102"),
        (GITHUB, None),
        (GITLAB, "500"),
        ({"JENKINS_URL": "x", "JOB_NAME": "shop", "BUILD_NUMBER": "8"}, "8"),
        ({"CIRCLECI": "true", "CIRCLE_BUILD_NUM": "31"}, "31"),
        ({"TF_BUILD": "True", "BUILD_BUILDID": "314", "BUILD_BUILDNUMBER": "20261120.3"}, "20261120.3"),
        ({"TEAMCITY_VERSION": "1", "BUILD_NUMBER": "4711"}, "4711"),
        ({"TRAVIS": "true", "TRAVIS_BUILD_NUMBER": "9"}, "9"),
        ({"BITBUCKET_BUILD_NUMBER": "12"}, "12"),
        ({"BUILDKITE": "true", "BUILDKITE_BUILD_NUMBER": "88"}, "88"),
        ({}, None),
    ],
)
def test_a_build_has_the_number_that_people_know_it_by(variables: dict[str, str], number: str | None) -> None:
    """What the CI shows in its own pages, in every event of the run; nothing outside of a CI."""
    build = ci.detect(variables)
    assert build.number == number
    assert run_context.begin(settings.read(environ={}), build)["run_number"] == number
