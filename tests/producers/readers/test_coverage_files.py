"""Coverage from files: the same lines from each of coverage.py's three forms; what cannot be known is left out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from coverage import CoverageData

from testbus_producers.errors import ReportError
from testbus_producers.report_files import find
from testbus_producers.source_paths import SourcePaths
from tests.producers.readers.reading import FIXTURES, coverage, records, written

if TYPE_CHECKING:
    from pathlib import Path

CART = """def total(prices, discount=False):
    if discount:
        return 9
    return sum(prices)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project that was measured with branches, in all three forms."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "cart.py").write_text(CART, encoding="utf-8")
    (tmp_path / "measure.py").write_text("from shop.cart import total\nassert total([1]) == 1\n", encoding="utf-8")
    for arguments in (("run", "--branch", "--source=shop", "measure.py"), ("xml",), ("lcov",)):
        subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [".coverage", "coverage.xml", "coverage.lcov"])
def test_every_form_says_the_same_lines_of_the_same_file(project: Path, name: str) -> None:
    """Paths are relative to the project, whatever they are relative to in the file."""
    cart = coverage(project / name, project)["shop/cart.py"]
    assert (cart.statements, cart.executed) == ("1-4", "1-2,4")


def test_branches_are_those_that_the_data_file_has(project: Path) -> None:
    """coverage.py's tracefile says the same; Cobertura counts them, and does not say which."""
    for name in (".coverage", "coverage.lcov"):
        cart = coverage(project / name, project)["shop/cart.py"]
        assert (cart.branches, cart.executed_branches) == (((2, 3), (2, 4)), ((2, 4),))
    assert coverage(project / "coverage.xml", project)["shop/cart.py"].branches is None


def test_without_the_sources_a_data_file_is_an_error(project: Path) -> None:
    """What could have run, only they say; the error names what to do."""
    (project / "shop" / "cart.py").unlink()
    with pytest.raises(ReportError, match=r"the sources of 1 of its 1 files are not here.*coverage\.xml"):
        records(project / ".coverage", project)


def test_a_data_file_of_another_folder_finds_the_sources_here(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A container's `/app`, of which only the data file came back: with lines and branches, as where it ran."""
    elsewhere = tmp_path_factory.mktemp("app")
    (elsewhere / "shop").mkdir()
    (elsewhere / "shop" / "cart.py").write_text(CART, encoding="utf-8")
    (elsewhere / "measure.py").write_text("from shop.cart import total\ntotal([1], True)\n", encoding="utf-8")
    arguments = ("run", "--branch", "--source=shop", f"--data-file={project / '.coverage'}", "measure.py")
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=elsewhere, check=True, capture_output=True)
    shutil.rmtree(elsewhere)
    for arguments in (("init", "-q"), ("add", "shop")):
        subprocess.run(["git", *arguments], cwd=project, check=True)
    report, (record,) = records(project / ".coverage", project, paths=SourcePaths.in_repository(project))
    (cart,) = record.data["files"]
    assert (cart["path"], cart["executed"], cart["executed_branches"]) == ("shop/cart.py", "1-3", [[2, 3]])
    assert report.warnings == []


def test_a_data_file_in_which_nothing_was_measured_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look like full coverage of nothing."""
    monkeypatch.chdir(tmp_path)
    data = CoverageData(basename=str(tmp_path / ".coverage"))
    data.add_lines({})
    data.write()
    data.close()
    with pytest.raises(ReportError, match="it covers no file"):
        records(tmp_path / ".coverage", tmp_path)


def test_real_files_of_another_machine(tmp_path: Path) -> None:
    """Without the sources at hand the paths stay as the tool gave them."""
    assert coverage(FIXTURES / "coverage-py.lcov", tmp_path)["shop/cart.py"].executed == "4-6,8,15"
    assert coverage(FIXTURES / "coverage-py.xml", tmp_path)["cart.py"].executed == "4-6,8,15"


def test_classes_and_sections_of_one_file_are_added_up(tmp_path: Path) -> None:
    """Java has several classes in a file; LCOV a section for each test."""
    xml = """<coverage>
        <class filename="A.java"><lines><line number="1" hits="0"/><line number="2" hits="3"/></lines></class>
        <class filename="A.java"><lines><line number="1" hits="1"/><line number="9" hits="0"/></lines></class>
        </coverage>"""
    lcov = "TN:a\nSF:A.java\nDA:1,0\nDA:2,3\nend_of_record\nTN:b\nSF:./A.java\nDA:1,1\nDA:9,0\nend_of_record\n"
    for path in (written(tmp_path, xml, "a.xml"), written(tmp_path, lcov, "a.info")):
        found = coverage(path, tmp_path)
        assert {name: (one.statements, one.executed) for name, one in found.items()} == {"A.java": ("1-2,9", "1-2")}


def test_paths_globs_and_folders_mean_files_each_once(tmp_path: Path) -> None:
    """In a folder only names that tools give their reports; other people's folders are passed over."""
    for name in ("a/TEST-x.xml", "a/pom.xml", "a/node_modules/junit.xml", "b/deep/junit-2.xml", "b/lcov.info"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, unmatched = find(["a", "**/junit*.xml", "b/deep/junit-2.xml", "b", "c.xml", "d/*.xml"], tmp_path)
    names = {one.path.relative_to(tmp_path).as_posix(): one.pattern for one in found}
    # A file that is named has to be a report, by whatever else it is meant, too.
    assert names == {
        "a/TEST-x.xml": "a",
        "a/node_modules/junit.xml": "**/junit*.xml",
        "b/deep/junit-2.xml": None,
        "b/lcov.info": "b",
    }
    assert unmatched == ["c.xml", "d/*.xml"]


def test_lines_of_classes_and_methods_are_the_same_lines(tmp_path: Path) -> None:
    """Under both, or only under one; in either order, and of several methods."""
    xml = """<coverage><class filename="a.swift">
        <methods><method><lines><line number="1" hits="0"/><line number="2" hits="1"/></lines></method>
        <method><lines><line number="3" hits="2.0"/></lines></method></methods>
        <lines><line number="1" hits="1"/><line number="0" hits="1"/></lines></class>
        <class filename=""><lines/></class></coverage>"""
    found = coverage(written(tmp_path, xml), tmp_path)
    assert {path: (one.statements, one.executed) for path, one in found.items()} == {"a.swift": ("1-3", "1-3")}


def test_a_class_with_lines_and_no_filename_is_an_error(tmp_path: Path) -> None:
    """Its coverage would be lost in silence."""
    xml = """<coverage><class filename="a.c"><lines><line number="1" hits="1"/></lines></class>
        <class name="B"><lines><line number="1" hits="1"/></lines></class></coverage>"""
    with pytest.raises(ReportError, match="the class 'B' has no filename"):
        coverage(written(tmp_path, xml), tmp_path)


def test_the_branches_of_a_tracefile(tmp_path: Path) -> None:
    """Each has a number in its line, the same in whichever order they come; `-` was never come to."""
    one = "SF:a.c\nDA:1,1\nBRDA:1,0,0,1\nBRDA:1,0,1,-\nBRDA:1,10,0,0\nBRDA:1,e2,x,0\nBRDA:7,0,a, b,3\nend_of_record\n"
    two = "SF:a.c\nDA:1,1e0\nBRDA:7,0,a, b,0\nBRDA:1,e2,x,0\nBRDA:1,10,0,2\nBRDA:1,0,1,0\nBRDA:1,0,0,0\nend_of_record\n"
    all_of_them = ((1, -1), (1, -2), (1, -3), (1, -4), (7, -1))
    first = coverage(written(tmp_path, one, "1.info"), tmp_path)["a.c"]
    assert (first.branches, first.executed_branches) == (all_of_them, ((1, -1), (7, -1)))
    second = coverage(written(tmp_path, two, "2.info"), tmp_path)["a.c"]
    assert (second.branches, second.executed_branches) == (all_of_them, ((1, -3),))
    both = coverage(written(tmp_path, one + two, "3.info"), tmp_path)["a.c"]
    assert both.executed_branches == ((1, -1), (1, -3), (7, -1))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("VER:2\nSF:a.c\nDA:1,1\nend_of_record\n", "a.c"),
        ("\ufeffSF:a.c\nDA:1,1\nend_of_record\n", "a.c"),
        ("\ufeff\n# made by hand\nTN:\nSF:a.c\nDA:1,1\nend_of_record\n", "a.c"),
        ("SF:src/../a.c\nDA:1,1\nend_of_record\n", "a.c"),
        ("SF:.\\src\\a.c\nDA:1,1.0,checksum\nend_of_record\n", "src/a.c"),
        ("SF:file:///ci/a%20b.c\nVER:9\nDA:1,1\nDA:0,1\nend_of_record\n", "/ci/a b.c"),
        ("SF:file:///C:/ci/a.c\r\nDA:1,1\r\nend_of_record\r\n", "C:/ci/a.c"),
    ],
)
def test_tracefiles_of_any_form(tmp_path: Path, text: str, path: str) -> None:
    """A byte order mark, a version, a comment; paths with dots, backslashes and as addresses; line 0, which is none."""
    found = coverage(written(tmp_path, text, "lcov.info"), tmp_path)
    assert {name: (one.statements, one.executed) for name, one in found.items()} == {path: ("1", "1")}


@pytest.mark.parametrize("line", ["BRDA:1,0,0", "BRDA:x,0,0,1", "BRDA:1,0,0,many", "DA:-1,1", "DA:1,nan", "DA:1,inf"])
def test_what_is_no_count_is_an_error(tmp_path: Path, line: str) -> None:
    """With the line and what should be there."""
    with pytest.raises(ReportError, match=f"line 2: '{line}' is no count of a"):
        coverage(written(tmp_path, f"SF:a.c\n{line}\nend_of_record\n", "lcov.info"), tmp_path)
