"""Where measured files are in the repository, wherever they were measured."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbus_producers.context import git
from testbus_producers.context.git import Repository
from testbus_producers.source_paths import SourcePaths
from testbus_schemas import CoverageRecorded
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    from tests.producers.conftest import Project

TOP = Path("/agent/work/shop")

#: Files of a repository in which some names stand several times.
FILES = frozenset(
    {
        "setup.py",
        "src/shop/__init__.py",
        "src/shop/cart.py",
        "src/shop/till.py",
        "src/shop/api/__init__.py",
        "src/shop/api/cart.py",
        "services/a/main.go",
        "services/a/only.go",
        "services/b/main.go",
        "tests/test_cart.py",
        "lib/one/util.c",
        "lib/two/util.c",
    }
)


def placed(*names: str, sources: tuple[str, ...] = (), root: Path = TOP, rules: PathRules | None = None) -> list[str]:
    """Return where files are, and behind `!` those that are named in the warning."""
    found = SourcePaths(root, rules, Repository(top=TOP, files=FILES)).place(names, sources)
    return [*(found.paths[name] for name in names), *(f"!{name}" for name in found.unmatched)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # The checkout itself, by any way to write it.
        (["/agent/work/shop/src/shop/cart.py"], ["src/shop/cart.py"]),
        (["file:///agent/work/shop/src/shop/../shop/cart.py"], ["src/shop/cart.py"]),
        (["./src/shop/cart.py", "src//shop/till.py"], ["src/shop/cart.py", "src/shop/till.py"]),
        # A container's folder for the whole, or for a part of it.
        (["/app/src/shop/cart.py", "/app/setup.py"], ["src/shop/cart.py", "setup.py"]),
        (["/app/shop/cart.py", "/app/shop/api/cart.py"], ["src/shop/cart.py", "src/shop/api/cart.py"]),
        (["/cart.py", "/till.py", "/__init__.py"], ["src/shop/cart.py", "src/shop/till.py", "src/shop/__init__.py"]),
        # Windows, where the runner is one of many.
        ([r"C:\ci\job@2\src\shop\cart.py", r"C:\ci\job@2\setup.py"], ["src/shop/cart.py", "setup.py"]),
        (["file:///C:/ci/job%202/src/shop/cart.py"], ["src/shop/cart.py"]),
        # An installed package.
        (
            ["/venv/lib/python3.12/site-packages/shop/cart.py", "/venv/lib/python3.12/site-packages/shop/till.py"],
            ["src/shop/cart.py", "src/shop/till.py"],
        ),
        # Relative to another folder than the project's.
        (["shop/cart.py", "shop/till.py"], ["src/shop/cart.py", "src/shop/till.py"]),
        # A file that only one of two alike services has tells which it was.
        (["/go/src/a/main.go", "/go/src/a/only.go"], ["services/a/main.go", "services/a/only.go"]),
        # One file alone, of which there is one.
        (["/x/till.py"], ["src/shop/till.py"]),
    ],
)
def test_files_are_found_in_the_repository(names: list[str], expected: list[str]) -> None:
    """By the one folder that most of what was measured agrees on."""
    assert placed(*names) == expected


@pytest.mark.parametrize(
    "names",
    [
        # Two services alike, and nothing that tells which.
        ["/go/src/main.go"],
        ["/x/util.c"],
        # One name in common with a whole folder of somebody else's.
        ["/opt/python/lib/setup.py", "/opt/python/lib/os.py", "/opt/python/lib/re.py"],
        ["/usr/include/shop/cart.py", "/usr/include/shop/till.py"],
        ["/build/generated/x.c", "../outside/h.cs", "//server/share/f.cs"],
    ],
)
def test_what_is_not_clear_stays_and_is_named(names: list[str]) -> None:
    """A wrong place is worse than none."""
    assert placed(*names) == [*names, *(f"!{name}" for name in sorted(names))]


def test_names_are_relative_to_sources_or_to_the_project() -> None:
    """The sources come first; the project may be a folder of the repository."""
    assert placed("cart.py", "till.py", sources=("/agent/work/shop/src/shop",)) == [
        "src/shop/cart.py",
        "src/shop/till.py",
    ]
    assert placed("cart.py", sources=(r"D:\ci\src\shop\api",)) == ["src/shop/api/cart.py"]
    assert placed("main.go", root=TOP / "services" / "b") == ["services/b/main.go"]
    assert placed("test_cart.py", root=TOP / "tests") == ["tests/test_cart.py"]


def test_rules_come_before_what_can_be_found_out() -> None:
    """The first that holds; `*` is any part of one name, and a folder is not the beginning of another's name."""
    rules = PathRules([("/app/*/src", "lib/one"), ("/app", "."), (r"C:\ci", "src/")])
    names = ["/app/x/src/util.c", "/app/src/shop/cart.py", r"C:\ci\shop\till.py", "/apple/setup.py"]
    expected = ["lib/one/util.c", "src/shop/cart.py", "src/shop/till.py", "/apple/setup.py", "!/apple/setup.py"]
    assert placed(*names, rules=rules) == expected


def test_without_a_repository_paths_are_relative_to_the_project(tmp_path: Path) -> None:
    """What is outside of it is named; whether the rest is there nobody knows."""
    names = [str(tmp_path / "a.c"), "b.c", "/elsewhere/c.c"]
    found = SourcePaths(tmp_path).place(names)
    assert [found.paths[name] for name in names] == ["a.c", "b.c", "/elsewhere/c.c"]
    assert found.warning is not None
    assert found.warning.startswith(
        "1 of 3 measured files match no file of the repository, the first is /elsewhere/c.c"
    )
    assert SourcePaths(tmp_path).place(names[:2]).warning is None


def test_git_knows_the_files_whatever_they_are_called(tmp_path: Path) -> None:
    """From any folder of the working copy; a new file is one because it is there."""
    (tmp_path / "src").mkdir()
    for name in ("src/größe.py", "src/a b.py", "src/new.py"):
        (tmp_path / name).touch()
    for arguments in (("init", "-q"), ("add", "src/größe.py", "src/a b.py")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    found = git.repository(tmp_path / "src")
    assert found == Repository(top=tmp_path.resolve(), files=frozenset({"src/größe.py", "src/a b.py"}))
    paths = SourcePaths.in_repository(tmp_path / "src").place(["new.py", "/app/src/größe.py", "gone.py"])
    assert paths.paths == {"new.py": "src/new.py", "/app/src/größe.py": "src/größe.py", "gone.py": "src/gone.py"}
    assert paths.unmatched == ("gone.py",)
    assert git.repository(Path("/")) is None


def test_an_installed_package_is_its_source_though_it_lies_in_the_working_copy(tmp_path: Path) -> None:
    """As tox and virtual environments have it; what was only installed stays where it is, and is no news."""
    installed = ".tox/py312/lib/python3.12/site-packages"
    own = ("shop/cart.py", "shop/till.py")
    for name in (
        *(f"src/{name}" for name in own),
        *(f"{installed}/{name}" for name in (*own, "other.py")),
        "new/cart.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for arguments in (("init", "-q"), ("add", "src")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    names = [f"{tmp_path}/{name}" for name in (f"{installed}/{own[0]}", f"{installed}/{own[1]}", "new/cart.py")]
    placed = SourcePaths.in_repository(tmp_path).place([*names, f"{tmp_path}/{installed}/other.py"])
    assert list(placed.paths.values()) == [
        "new/cart.py",
        "src/shop/cart.py",
        "src/shop/till.py",
        f"{installed}/other.py",
    ]
    assert placed.warning is None


def test_a_project_by_another_name_is_the_same(tmp_path: Path) -> None:
    """Folders of CIs are often links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.py").touch()
    (tmp_path / "link").symlink_to("real")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "real", check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path / "real", check=True)
    name = str(tmp_path / "link" / "a.py")
    assert SourcePaths.in_repository(tmp_path / "link").place([name]).paths == {name: "a.py"}


def test_within_a_hook_of_git_the_repository_is_the_folder_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that git sets for its hooks name another working copy, or a part of this one."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").touch()
    for arguments in (("init", "-q"), ("add", ".")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    assert git.repository(tmp_path / "src") == Repository(top=tmp_path.resolve(), files=frozenset({"src/a.py"}))


def test_a_session_s_coverage_has_the_repository_s_paths(project: Project, tmp_path: Path) -> None:
    """Though it ran in a folder of it; what is in no folder of it is named at the end, and a rule says what it is."""
    project.write(product="def one():\n    return 1\n", test_it="import product, vendored\ndef test(): product.one()\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "vendored.py").write_text("TWO = 2\n", encoding="utf-8")
    for arguments in (("init", "-q"), ("add", "product.py")):
        subprocess.run(["git", *arguments], cwd=project.root, check=True)
    (project.root / "tests").mkdir()
    for name in ("pytest.ini", "test_it.py"):
        (project.root / name).rename(project.root / "tests" / name)
    known = {"PYTHONPATH": f"{project.root}:{tmp_path / 'elsewhere'}"}
    arguments = ("--cov=product", "--cov=vendored", "--rootdir=tests", "tests")
    ran = project.run("--testbus", *arguments, **known)
    assert ran.status == 0, ran.output
    assert "testbus: coverage: 1 of 2 measured files match no file of the repository, the first is " in ran.output
    ran = project.run("--testbus", *arguments, **known, TESTBUS_PATHS=f"{tmp_path}/elsewhere=lib")
    assert "match no file" not in ran.output
    first, second = project.data(CoverageRecorded)
    assert {file.path for file in first.files} == {"product.py", f"{tmp_path}/elsewhere/vendored.py"}
    assert {file.path for file in second.files} == {"product.py", "lib/vendored.py"}
