"""`testbus verdict`: whose verdict is asked for, what it lacks, and what can never come is said at once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import testbus as api
from harness.events import FakeProducer
from testbus_broker.event_log import EventLog
from testbus_broker.message import message_of
from testbus_consumers import settings
from testbus_consumers.embedded import EmbeddedBus
from testbus_schemas.identity import is_short_for

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., tuple[int, str, str]]

#: Runs of project `web` that are decided, as people and CIs name them.
UUID = "01990f5e-0000-7000-8000-000000000001"
DECIDED = ("nightly-10", "github:acme/web:12:unit", UUID)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an embedded pipeline in which some runs are decided and one is not whole; the folder has another name."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "CI", "TESTBUS_URL", "TESTBUS_RUN_ID", "TESTBUS_HOME",
                 "TESTBUS_CONFIG", "TESTBUS_PROJECT", "TESTBUS_DATABASE_URL"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TESTBUS_SPOOL", str(tmp_path / "spool"))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    home = folder / ".testbus"
    for run in DECIDED:
        api.publish([api.Result(node_id="a", outcome="passed")], url=f"file://{home}", project="web", run=run)
    EventLog(home).append([message_of(FakeProducer("abcdefgh", run="half").started())])
    with EmbeddedBus(settings.load(), home) as bus:
        bus.drain(20.0)
    return home


@pytest.mark.parametrize(("told", "run"), [*zip(DECIDED, DECIDED, strict=True), (UUID[:8], UUID), (UUID[:-1], UUID),
                                           ("github:acme/web:12", DECIDED[1])])  # fmt: skip
def test_a_run_is_found_from_any_folder_by_its_id_or_what_surely_means_it(
    home: Path, call: Call, told: str, run: str
) -> None:
    """In a folder that is not the project, and by the beginning of an id."""
    status, out, _ = call("verdict", told, "--json")
    assert status == 0
    assert home.is_dir()
    assert json.loads(out)["run"] == run


@pytest.mark.parametrize("told", ["nightly-1", "github:acme/web:1", "nothing", "NIGHTLY-10"])
def test_a_run_that_is_not_there_is_said_at_once(home: Path, call: Call, told: str) -> None:
    """And never another run's verdict, whose id happens to begin so."""
    began = time.monotonic()
    status, out, err = call("verdict", told)
    assert (status, out) == (2, "")
    assert f"no run {told!r} in {home}" in err
    assert ("did you mean" in err) == told.startswith(("nightly-1", "github"))
    assert time.monotonic() - began < 30


def test_what_nobody_is_at_work_on_is_said_at_once_with_what_it_lacks(home: Path, call: Call) -> None:
    """Exit status 4 without the wait of ten minutes."""
    status, _, err = call("verdict", "half")
    assert status == 4
    assert "waiting for the verdict on run half of project web" in err
    assert "producer abcdefgh (attempt 1) has not finished" in err
    assert f"nobody is at work in {home}; `testbus drain` goes on with it" in err


def test_while_somebody_is_at_work_it_waits_and_shows_what_is_missing_once(home: Path, call: Call) -> None:
    """Each line when it changes, not each second; the project that was asked is named."""
    with EmbeddedBus(settings.load(), home):
        status, _, err = call("verdict", "half", "--timeout", "2.5")
        unknown, _, told = call("verdict", "later", "--timeout", "0.1")
    assert (status, unknown) == (4, 4)
    assert err.count("has not finished") == 1
    assert "within 2.5 s" in err
    assert "run later of project elsewhere (by this folder's name)" in told
    assert "nothing of it has arrived yet" in told


def test_a_run_of_another_project_is_not_waited_for(home: Path, call: Call) -> None:
    """Whoever names a project gets that project's, or an error that names the right one."""
    status, _, err = call("verdict", "nightly-10", "--project", "shop")
    assert status == 2
    assert "run nightly-10 belongs to project web, not shop" in err
    assert home.is_dir()


def test_the_project_is_the_one_that_the_runner_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    """In a git checkout the remote's, not the folder's name: as the pytest plugin names it."""
    import subprocess  # noqa: PLC0415 only here

    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "CI", "TESTBUS_PROJECT", "TESTBUS_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"],
                    ["remote", "add", "origin", "git@github.com:acme/shop.git"]):  # fmt: skip
        subprocess.run([*git, *command], check=True, cwd=tmp_path)
    from testbus.options import named_run  # noqa: PLC0415 only here

    context, origin = named_run("r1", None)
    assert (context.project, origin) == ("acme-shop", "git's remote origin")
    assert call("verdict", "")[0] == 2


def test_a_short_id_means_one_run_only() -> None:
    """What another run could be called some day is no short id."""
    expected: dict[tuple[str, str], Any] = {
        ("a", "a"): True, ("", UUID): False, ("0", UUID): True, ("a", "ab"): False, ("a", "a:b"): True,
        ("a:", "a:b"): False, ("ab", "a:b"): False, (UUID + "x", UUID): False,
    }  # fmt: skip
    assert {pair: is_short_for(*pair) for pair in expected} == expected
