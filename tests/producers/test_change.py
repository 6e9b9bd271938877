"""The change that a run tests, in real repositories: branches, renames, trial merges, shallow clones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_producers.context import change
from testbus_producers.redaction.cleaner import Cleaner
from testbus_schemas import ChangeRecorded, RunCompleted
from testbus_schemas.coverage import parse_lines
from testbus_schemas.wire import MAX_CHANGE_BYTES
from tests.producers.conftest import Project, new_project

if TYPE_CHECKING:
    from pathlib import Path

CART = """\
class Cart:
    def total(self):
        return 1

    def add(self, item):
        def inner():
            return item

        return inner()


def pay():
    return 3
"""


#: Lines that look like those of a difference.
LINES = st.sampled_from(
    ["a", "b", "", "+++ b/cart.py", "-- a/cart.py", "@@ -1 +1,9 @@", "diff --git a/x b/x", "def f():"]
)


class Repository:
    """A repository of the test's own, with nobody's configuration."""

    def __init__(self, folder: Path) -> None:
        """Make it, with a first commit on `main`."""
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ada")
        self.git("config", "user.email", "ada@example.org")
        self.write("cart.py", CART)
        self.write("notes.txt", "".join(f"line {n}\n" for n in range(40)))
        self.first = self.commit("first")

    def git(self, *arguments: str) -> str:
        """Run git; return what it says."""
        hidden = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=kept | hidden).stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, subject: str, author: str = "Ada <ada@example.org>") -> str:
        """Commit everything; return the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject, "--author", author)
        return self.git("rev-parse", "HEAD")

    def described(self, base: str | None = None, commit: str | None = None, **options: Any) -> dict[str, Any]:
        """Return what is recorded of it, which the schema reads."""
        data = change.describe(self.folder, {"base": base, "commit": commit}, Cleaner(), **options)
        assert data is not None
        context = {"project": "p", "run": "r", "started_at": "2026-01-01T00:00:00Z"}
        ChangeRecorded.model_validate(data | {"context": context})
        return data


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository with one commit."""
    return Repository(tmp_path / "shop")


def by_path(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the files of a change by their path."""
    return {file["path"]: file for file in data["files"]}


def test_a_branch_is_compared_with_where_it_left_main(repository: Repository) -> None:
    """Lines and functions of its files, its commits and authors, first parents of both sides; main has gone on."""
    repository.git("switch", "-q", "-c", "feature")
    repository.write("cart.py", CART.replace("return 1", "return 2").replace("return item\n", "return [item]\n"))
    mine = repository.commit("Cart: two\n\nand more")
    repository.write("new.js", "function pay() {\n  return 1\n}\n")
    last = repository.commit("JS", "Grace <grace@example.org>")
    repository.git("switch", "-q", "main")
    repository.write("other.py", "x = 1\n")
    repository.commit("elsewhere")
    repository.git("switch", "-q", "feature")
    data = repository.described()
    assert (data["tree"], data["target"], data["merge_base"]) == (last, "main", repository.first)
    assert (data["ancestors"], data["target_ancestors"]) == ([mine, repository.first], [])
    assert [(one["id"], one["author"], one["subject"]) for one in data["commits"]] == [
        (last, "Grace", "JS"),
        (mine, "Ada", "Cart: two"),
    ]
    assert by_path(data) == {
        "cart.py": {
            "path": "cart.py",
            "kind": "modified",
            "added": "3,7",
            "functions": ["Cart.total", "Cart.add.inner"],
        },
        "new.js": {"path": "new.js", "kind": "added", "added": "1-3"},
    }
    assert (data["shallow"], data["cut"]) == (False, [])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=st.lists(LINES, max_size=12), new=st.lists(LINES, max_size=12))
def test_what_is_not_new_was_there(repository: Repository, old: list[str], new: list[str]) -> None:
    """Without its new lines a file is a part of the old one, in its order, whatever its lines look like."""
    repository.write("any.txt", "".join(f"{line}\n" for line in old) + "end\n")
    repository.commit("old")
    repository.write("any.txt", "".join(f"{line}\n" for line in new) + "end\n")
    repository.commit("new")
    file = by_path(repository.described()).get("any.txt", {})
    assert bool(file) == (old != new)
    added = parse_lines(file.get("added", ""))
    rest = iter(old)
    assert all(line in rest for number, line in enumerate(new, 1) if number not in added)


def test_renames_are_followed_and_deletions_are_files_too(repository: Repository) -> None:
    """A path may have blanks, and letters that git would escape; a line may look like a header."""
    repository.git("switch", "-q", "-c", "feature")
    repository.git("mv", "notes.txt", "die Zettel ä.txt")
    text = (repository.folder / "die Zettel ä.txt").read_text(encoding="utf-8")
    repository.write("die Zettel ä.txt", text.replace("line 7\n", "++ b/cart.py\n@@ -1 +1,9 @@\n"))
    repository.git("rm", "-q", "cart.py")
    (repository.folder / "bytes.bin").write_bytes(bytes(range(256)))
    repository.commit("moved")
    assert by_path(repository.described("main")) == {
        "bytes.bin": {"path": "bytes.bin", "kind": "added"},
        "cart.py": {"path": "cart.py", "kind": "deleted"},
        "die Zettel ä.txt": {
            "path": "die Zettel ä.txt",
            "old_path": "notes.txt",
            "kind": "renamed",
            "added": "8-9",
            # What git takes for one in a text.
            "functions": ["line 6"],
        },
    }


def test_where_lines_are_gone_the_function_has_changed(repository: Repository) -> None:
    """It has no new line, and is another one all the same; what cannot be parsed has what git finds."""
    repository.write("odd.py", "def f():\n    one()\n    two(\n")
    repository.git("add", "-A")
    repository.commit("odd")
    repository.git("switch", "-q", "-c", "feature")
    repository.write("cart.py", CART.replace("        return inner()\n", ""))
    repository.write("odd.py", "def f():\n    one()\n    three(\n")
    repository.commit("less")
    files = by_path(repository.described("main"))
    assert (files["cart.py"].get("added"), files["cart.py"]["functions"]) == (None, ["Cart.add"])
    assert files["odd.py"]["functions"] == ["def f():"]


def test_a_run_of_the_target_itself_has_the_change_of_its_commit(repository: Repository) -> None:
    """It has no other merge base than itself: it is compared with its first parent, also with HEAD detached."""
    repository.write("cart.py", CART + "\n\nX = 1\n")
    second = repository.commit("second")
    for _ in range(2):
        data = repository.described()
        assert (data["tree"], data["target"], data["merge_base"]) == (second, "main", repository.first)
        assert by_path(data)["cart.py"]["added"] == "14-16"
        repository.git("checkout", "-q", "--detach")


def test_the_first_commit_of_all_has_nothing_before_it(repository: Repository) -> None:
    """There is nothing to compare it with, and nothing is wrong."""
    data = repository.described()
    assert (data["merge_base"], data["ancestors"], data["cut"]) == (None, [], [])
    assert "files" not in data


def test_a_trial_merge_is_compared_with_the_target_that_it_merged(repository: Repository) -> None:
    """What came to the target meanwhile is none of the request's; its commits have no merge."""
    repository.git("switch", "-q", "-c", "feature")
    repository.write("new.py", "def f(): pass\n")
    head = repository.commit("mine", "Grace <grace@example.org>")
    repository.git("switch", "-q", "main")
    repository.write("other.py", "x = 1\n")
    target = repository.commit("elsewhere")
    repository.git("checkout", "-q", "--detach")
    repository.git("merge", "-q", "--no-ff", "-m", "trial", "feature")
    data = repository.described(base=repository.first, commit=head)
    assert (data["merge_base"], list(by_path(data))) == (target, ["new.py"])
    assert [one["author"] for one in data["commits"]] == ["Grace"]
    assert (data["ancestors"], data["target_ancestors"]) == ([target, repository.first], [repository.first])


def test_a_shallow_clone_is_explained(repository: Repository, tmp_path: Path) -> None:
    """As actions/checkout makes them; the text of a trial merge names its parents even so."""
    repository.git("switch", "-q", "-c", "feature")
    repository.write("new.py", "def f(): pass\n")
    head = repository.commit("mine")
    repository.git("switch", "-q", "main")
    target = repository.commit("elsewhere")
    repository.git("switch", "-q", "-c", "trial")
    repository.git("merge", "-q", "--no-ff", "-m", "trial", "feature")
    for branch in ("feature", "trial"):
        clone = tmp_path / branch
        subprocess.run(
            ["git", "clone", "-q", "--depth=1", f"--branch={branch}", repository.folder.as_uri(), str(clone)],
            check=True,
        )
    one, other = (Repository.__new__(Repository) for _ in range(2))
    one.folder, other.folder = tmp_path / "feature", tmp_path / "trial"
    data = one.described("main")
    assert (data["shallow"], data["merge_base"], data["ancestors"]) == (True, None, [])
    assert "the clone is shallow, and the merge base with main is not in it" in data["cut"][0]
    assert "fetch-depth: 0" in data["cut"][0]
    data = other.described("main", commit=head)
    assert (data["shallow"], data["merge_base"], data["files"]) == (True, target, [])
    assert "files: git cannot compare them, the clone is shallow" in data["cut"]


def test_a_target_that_was_not_fetched_is_named(repository: Repository) -> None:
    """The tree is known all the same."""
    repository.git("branch", "-m", "work")
    data = repository.described("release/1")
    assert (data["target"], data["merge_base"]) == ("release/1", None)
    assert data["cut"] == ["the target release/1 was not fetched: fetch it, or set TESTBUS_BASE"]
    assert repository.described()["cut"] == ["no target branch is known: set TESTBUS_BASE"]


def test_the_remotes_branch_goes_before_an_old_one_here(repository: Repository, tmp_path: Path) -> None:
    """A clone whose own `main` is behind; the default branch is the one that the remote has."""
    repository.write("a.txt", "a\n")
    second = repository.commit("second")
    clone = Repository.__new__(Repository)
    clone.folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(repository.folder), str(clone.folder)], check=True)
    clone.git("config", "user.name", "Ada")
    clone.git("config", "user.email", "ada@example.org")
    clone.git("switch", "-q", "-c", "feature")
    clone.git("branch", "-f", "main", repository.first)
    clone.write("b.txt", "b\n")
    clone.commit("mine")
    for base in (None, "main", second):
        data = clone.described(base)
        assert (data["target"], data["merge_base"], list(by_path(data))) == (base or "main", second, ["b.txt"])


def test_histories_without_a_commit_in_common(repository: Repository) -> None:
    """Are said to be such."""
    repository.git("checkout", "-q", "--orphan", "other")
    repository.commit("other")
    assert repository.described("main")["cut"] == ["the tree and the target main have no commit in common"]


def test_authors_are_names_unless_addresses_are_asked_for(repository: Repository) -> None:
    """Also of those who call themselves by their address; what looks like a secret is none of a subject."""
    repository.commit("password=hunter2secret", "ada@example.org <ada@example.org>")
    (commit,) = repository.described()["commits"]
    assert (commit["author"], commit["subject"]) == ("ada", "password=[redacted]")
    (commit,) = repository.described(email=True)["commits"]
    assert commit["author"] == "ada@example.org <ada@example.org>"


def test_codeowners_go_along_bounded(repository: Repository) -> None:
    """From where GitHub and GitLab look; whole lines of a long one."""
    assert repository.described()["codeowners"] is None
    repository.write("docs/CODEOWNERS", "* @docs\n")
    assert repository.described()["codeowners"] == "* @docs\n"
    repository.write(".github/CODEOWNERS", "*.py @acme/shop\n" * 10_000)
    data = repository.described()
    assert data["codeowners"].endswith("*.py @acme/shop")
    assert len(data["codeowners"]) <= 64 * 1024
    assert data["cut"] == ["codeowners: only its first 64 KiB"]


def test_a_large_change_is_cut_and_says_so(repository: Repository) -> None:
    """At most 3,000 files, 100 commits and 256 KiB; functions go before files."""
    repository.git("switch", "-q", "-c", "feature")
    for number in range(3_200):
        body = "".join(f"def function_{one}_{'x' * 80}(): pass\n" for one in range(40 if number < 300 else 1))
        repository.write(f"package/module_{number:04}.py", body)
    repository.commit("many")
    for number in range(101):
        repository.commit(f"empty {number}")
    data = repository.described("main")
    assert len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) <= MAX_CHANGE_BYTES
    assert len(data["commits"]) == 100
    assert "commits: only the latest 100" in data["cut"]
    assert "files: only 3000 of 3200" in data["cut"]
    assert "functions: there is no room for them" in data["cut"]
    assert len(data["files"]) > 2_000


def test_no_time_is_no_error(repository: Repository) -> None:
    """What git has not said by then is left out."""
    assert change.describe(repository.folder, {}, Cleaner(), seconds=0.0) is None


def test_who_waits_is_not_kept_waiting(repository: Repository, tmp_path: Path) -> None:
    """A git that hangs is left to itself once the session has ended; what it did not say is left out."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ncase "$*" in *\' diff \'*) exec sleep 60;; esac\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o755)
    repository.commit("second")
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        data = repository.described(hurry=lambda: 0.5 if time.monotonic() - began > 1 else None)
    assert 1 < time.monotonic() - began < 10
    assert (data["merge_base"], data["files"]) == (repository.first, [])
    assert data["cut"] == [
        "files: git cannot compare them",
        "git took too long: what it did not say in time is left out",
    ]


def test_a_commit_of_no_time_is_one_all_the_same(repository: Repository) -> None:
    """Git keeps whatever date it is given."""
    for date in ("@0 +0000", "@253402300800 +0000"):
        repository.git("commit", "-q", "--allow-empty", "-m", "odd", "--date", date)
        repository.described()
    repository.commit("odd", "a\x1fb\x1f1970-99-99T00:00:00Z\x1fc <a@b>")
    assert [one["at"] for one in repository.described()["commits"]] == [None]


def test_programs_that_the_repository_names_do_not_run(repository: Repository) -> None:
    """Neither for a difference, nor for a text, nor for a signature; and their form changes nothing."""
    mark = repository.folder / "ran"
    for name in ("diff.external", "diff.odd.textconv", "diff.odd.command", "core.fsmonitor", "gpg.program"):
        repository.git("config", name, f"touch {mark};")
    repository.git("config", "log.showSignature", "true")
    for name, value in (
        ("diff.noprefix", "true"),
        ("diff.context", "9"),
        ("color.ui", "always"),
        ("diff.relative", "true"),
    ):
        repository.git("config", name, value)
    repository.write(".gitattributes", "*.py diff=odd\n")
    repository.write("cart.py", CART.replace("return 1", "return 2"))
    repository.git("-c", "core.fsmonitor=false", "add", "-A")
    repository.git("-c", "core.fsmonitor=false", "commit", "-q", "-m", "odd")
    mark.unlink(missing_ok=True)
    assert by_path(repository.described())["cart.py"]["added"] == "3"
    assert not mark.exists()


def test_outside_of_a_repository_nothing_is_said(tmp_path: Path) -> None:
    """Nor before the first commit, nor without git."""
    assert change.describe(tmp_path, {}, Cleaner()) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert change.describe(tmp_path, {}, Cleaner()) is None


@pytest.fixture
def session(tmp_path: Path) -> tuple[Project, Repository]:
    """Return a project that is a repository."""
    project = new_project(tmp_path)
    return project, Repository(project.root)


def test_a_session_records_its_change(session: tuple[Project, Repository], tmp_path: Path) -> None:
    """From the plugin to the record, and the row of the run has merge base and author."""
    project, repository = session
    repository.git("switch", "-q", "-c", "feature")
    project.write(test_a="def test_a(): pass\n")
    repository.commit("mine", "Grace <grace@example.org>")
    assert "1 result in 7 events sent" in project.run().line
    with ConsumerHarness(RUNS, tmp_path / "state") as runs:
        runs.deliver(*project.events())
        (decision,) = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted)]
        records = runs.policy.records
        assert records is not None
        recorded = records.open(decision.context, decision.revision).change()
        summary = records.get(decision.context.project, decision.context.run)
    (sent,) = project.data(ChangeRecorded)
    assert recorded is not None
    assert recorded.files == sent.files
    assert [file.path for file in recorded.files] == ["test_a.py"]
    assert recorded.producer is not None
    assert recorded.producer.id == sent.producer.id
    assert summary is not None
    assert (summary.merge_base, summary.author) == (repository.first, "Grace")


def test_only_the_first_shard_records_it(session: tuple[Project, Repository]) -> None:
    """All shards have one tree."""
    project, _ = session
    project.write(test_a="def test_a(): pass\n")
    project.run("--testbus-shard=2/2")
    assert not project.data(ChangeRecorded)
    project.run("--testbus-shard=1/2")
    assert len(project.data(ChangeRecorded)) == 1


def test_without_git_a_session_is_as_ever(session: tuple[Project, Repository], tmp_path: Path) -> None:
    """No change, and no word of it."""
    project, _ = session
    (tmp_path / "bin").mkdir()
    project.write(test_a="def test_a(): pass\n")
    ran = project.run(PATH=str(tmp_path / "bin"))
    assert ran.status == 0
    assert "1 result in 6 events sent" in ran.line
