"""The workflows of CI and releases: pinned actions, least rights, commands that are there, builds from the lock."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

FOLDER = ROOT / ".github" / "workflows"

FILES = sorted(FOLDER.glob("*.yml"))

#: Name of the file → what it says. `on:` is a boolean to YAML 1.1, which is nothing to us.
WORKFLOWS: dict[str, dict[str, Any]] = {one.stem: yaml.safe_load(one.read_text(encoding="utf-8")) for one in FILES}

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

#: What a job may do beyond reading the code, and why it has to.
RIGHTS = {
    ("release", "publish"): {"id-token": "write"},  # PyPI knows it by this token
    ("release", "announce"): {"contents": "write"},  # a release is made
}


class Job(NamedTuple):
    """A job, and where it is."""

    workflow: str
    name: str
    body: dict[str, Any]

    @property
    def commands(self) -> str:
        """What its steps run."""
        return "\n".join(step.get("run", "") for step in self.body["steps"])

    @property
    def permissions(self) -> dict[str, str]:
        """What it may do: its own rights, or else those of its workflow."""
        given: dict[str, str] = self.body.get("permissions", WORKFLOWS[self.workflow]["permissions"])
        return given


def jobs() -> Iterator[Job]:
    """Yield every job."""
    for workflow, content in WORKFLOWS.items():
        for name, body in content["jobs"].items():
            yield Job(workflow, name, body)


JOBS = {f"{job.workflow}-{job.name}": job for job in jobs()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_their_commit(path: Path) -> None:
    """A tag can be moved, a commit cannot; which version it is stands beside it, for people and for Renovate."""
    used = re.findall(r"\buses:.*", path.read_text(encoding="utf-8"))
    assert used
    for line in used:
        assert re.fullmatch(r"uses: [\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_an_action_has_one_version() -> None:
    """No workflow lags behind the others, and no version has two commits."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    used = set(re.findall(r"uses: (\S+)@(\S+ # \S+)", text))
    assert len({action for action, _ in used}) == len(used)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_job_has_no_more_rights_than_it_needs(job: Job) -> None:
    """All may read the code at most, but for those two that are named above; and no job runs for ever."""
    assert WORKFLOWS[job.workflow]["permissions"] in ({}, {"contents": "read"})
    allowed = RIGHTS.get((job.workflow, job.name))
    assert job.permissions == allowed if allowed else job.permissions in ({}, {"contents": "read"})
    assert job.body["timeout-minutes"] > 0


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_checkout_leaves_no_token_behind(job: Job) -> None:
    """What the tests of a pull request run finds no credentials in .git."""
    for step in job.body["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_commands_hold_nothing_that_somebody_else_wrote(job: Job) -> None:
    """A branch's name in a command would be a command: expressions go through the environment."""
    assert "${{" not in job.commands


def test_what_is_made_is_in_the_makefile() -> None:
    """Whatever CI does with make, a contributor can do."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    made = {target for job in jobs() for target in re.findall(r"\bmake ([a-z-]+)", job.commands)}
    # apt-get installs make with git behind it.
    assert made - {"git"} <= targets
    assert {"lint", "test", "demo", "lowest", "newest", "audit", "sbom", "nightly"} <= made


def test_only_the_publishing_job_proves_who_it_is() -> None:
    """It has the token, an environment that somebody guards, and not one command of ours."""
    assert [job.name for job in jobs() if "id-token" in str(job.permissions)] == ["publish"]
    publish = JOBS["release-publish"]
    assert publish.body["environment"]["name"] == "pypi"
    assert publish.commands.strip() == ""
    assert [step["uses"].partition("@")[0] for step in publish.body["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "secrets." not in (FOLDER / "release.yml").read_text(encoding="utf-8")


def test_a_release_is_built_from_the_lock() -> None:
    """The backend is the locked one; what is built is tried before it is published, and is the version of the tag."""
    build = JOBS["release-build"]
    recipe = re.search(r"^build:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    assert "uv build" in recipe[1]
    assert "--no-build-isolation" in recipe[1]
    assert re.search(r"^sbom: build ", MAKEFILE, re.MULTILINE)
    order = [
        build.commands.index(one)
        for one in ('= "v$version"', "make audit", "make sbom", 'pip" install', "testbus demo")
    ]
    assert order == sorted(order)
    assert not any("cache" in step.get("with", {}) for step in build.body["steps"])
    assert JOBS["release-publish"].body["needs"] == "build"


def test_a_bare_debian_has_only_what_the_readme_asks_for() -> None:
    """Nobody else's Python and no cache hide that something is missing."""
    job = JOBS["ci-install"]
    assert job.body["container"] == "debian:12"
    assert "python3 python3-venv make git" in job.commands
    assert not any("setup-python" in step.get("uses", "") for step in job.body["steps"])


def test_every_supported_python_is_tried() -> None:
    """The matrix is what the classifiers promise."""
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert JOBS["ci-test"].body["strategy"]["matrix"]["python"] == classifiers


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_renovate_can_make_a_lock_again(lock: Path) -> None:
    """It runs the command in the first lines: with a source, and with options in the one form that it reads."""
    command = re.match(r"#.*\n# {4}(uv pip compile .*)\n", lock.read_text(encoding="utf-8"))
    assert command is not None
    words = command[1].split()[3:]
    options = {word for word in words if word.startswith("-")}
    valued = {"--python-version", "--extra", "--group", "--constraint", "--output-file"}
    assert {word.partition("=")[0] for word in options if "=" in word} <= valued
    assert {word for word in options if "=" not in word} == {"--universal", "--no-strip-extras", "--generate-hashes"}
    assert all((ROOT / word).is_file() for word in words if word not in options)
    assert len(words) > len(options)
    patterns = re.search(r'managerFilePatterns: \["/(.*)/"\]', (ROOT / ".github" / "renovate.json5").read_text("utf-8"))
    assert patterns is not None
    assert re.search(patterns[1].replace("\\\\", "\\"), f"requirements/{lock.name}")
