"""Files that are no reports, or not whole, or meant to do harm: an error says which file, where, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbus_producers.errors import ReportError
from tests.producers.readers.reading import FIXTURES, coverage, records, results, written

#: Where the tests can be imported.
ROOT = Path(__file__).parents[3]

BOMB = """<?xml version="1.0"?>
<!DOCTYPE testsuites [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<testsuites><testsuite name="&b;"><testcase name="x"/></testsuite></testsuites>"""

SECRET = """<?xml version="1.0"?>
<!DOCTYPE testsuites [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<testsuites><testsuite name="x"><testcase name="&a;"/></testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty: whatever writes it was stopped"),
        (b"hello, world", "begins with b'hello, world', which is no report: testbus reads JUnit XML"),
        (b"<html><body/></html>", "outermost element is <html>, which is no report"),
        (b'<testsuites><testsuite><testcase name="a"/>', "line 1, column 44: it ends too early"),
        (b'<testsuites><testsuite><testcase name="a', "it ends too early"),
        (b"<testsuites>\n<testsuite><testcase></testsuite></testsuites>", "line 2, column 24: it is no XML"),
        (b"<testsuites/><testsuites/>", "more behind its end: publish each report as a file of its own"),
        (b'<testsuites><testsuite name="a\x1b[0m"/></testsuites>', "control character 0x1b, which XML forbids"),
        (
            "<?xml version='1.0' encoding='utf-8'?><testsuites name='é'/>".encode("latin-1"),
            "column 57: the bytes e9 27 2f 3e are not the encoding that it declares: write it in UTF-8",
        ),
        (
            "<testsuites name='é'/>".encode("latin-1"),
            "are not UTF-8",
        ),
        (b"<?xml version='1.0' encoding='klingon'?><testsuites/>", "encoding"),
        (b"<?xml version='1.0' encoding='utf-16'?><testsuites/>", "line 1"),
        (BOMB.encode(), "it declares entities, by which a small file can become a huge one"),
        (SECRET.encode(), "it declares entities"),
        (b"<testsuites>" + b"<testsuite>" * 300, "more than 200 elements lie inside of each other"),
        (b"SQLite format 3\x00 and then nothing of the kind", "coverage.py cannot read it"),
        (b"<coverage/>", "it covers no file: did the measured tests run at all?"),
        (b'<coverage generated="1" clover="4.4"><project/></coverage>', "it is Clover's XML: write Cobertura or LCOV"),
        (b'<coverage><class name="a"/></coverage>', "the class 'a' has no filename"),
        (
            b'<coverage><class filename="a"><lines><line number="x" hits="1"/></lines></class></coverage>',
            "a: 'x' is no line",
        ),
        (b"TN:\n", "it covers no file"),
        (b"TN:\nSF:a.c\nDA:1,1\n", "line 3: it ends too early"),
        (b"SF:a.c\nDA:one,1\nend_of_record\n", "line 2: 'DA:one,1' is no count of a line"),
        (b"DA:1,1\nSF:a.c\n", "begins with b'DA:1,1"),
        (b"TN:\nDA:1,1\n", "line 2: 'DA:1,1' is no count of a line"),
        (b"SF:a.c\nDA:99999999999,1\nend_of_record\n", "is no count of a line"),
        (b"SF:\xff\xfe\n", "it is not UTF-8"),
    ],
)
def test_an_error_says_which_file_where_and_what_to_do(tmp_path: Path, content: bytes, told: str) -> None:
    """Whatever the bytes, it is a ReportError that names the file."""
    path = tmp_path / "some report"
    path.write_bytes(content)
    with pytest.raises(ReportError) as caught:
        records(path, tmp_path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "encoding",
    [
        *("utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"),
        *("utf8", "UTF8", "utf_8", "gb18030", "utf_8-sig"),
    ],
)
def test_any_encoding_that_is_declared_truly_is_read(tmp_path: Path, encoding: str) -> None:
    """The name of the test comes out as it was, also where the parser does not know the encoding by that name."""
    declared = encoding.removesuffix("-sig")
    text = f"<?xml version='1.0' encoding='{declared}'?><testsuite name='s'><testcase name='größe'/></testsuite>"
    path = tmp_path / "junit.xml"
    path.write_bytes(text.encode(encoding))
    assert [one.node_id for one in results(path, tmp_path)] == ["s::größe"]


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-kr", "big5", "gbk"])
def test_encodings_of_several_bytes_to_a_character_are_read(tmp_path: Path, encoding: str) -> None:
    """Some tools of Asia write what the system has."""
    path = tmp_path / "junit.xml"
    text = f"<?xml version='1.0' encoding='{encoding}'?><testsuite name='s'><testcase name='日本'/></testsuite>"
    path.write_bytes(text.encode(encoding))
    assert [one.node_id for one in results(path, tmp_path)] == ["s::日本"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf8"])
def test_characters_that_xml_forbids_and_tests_print_are_replaced(tmp_path: Path, encoding: str) -> None:
    """U+FFFE and U+FFFF, as they are and as references, wherever the reader's blocks end."""
    path = tmp_path / "junit.xml"
    head = f"<?xml version='1.0' encoding='{encoding}'?><testsuite name='s'><testcase name='"
    for length in range(64 * 1024 - 12 - len(head), 64 * 1024 + 2 - len(head)):
        name = "x" * (length % 4000) + "\ufffe&#xFFFE;&#65535;y"
        padding = " " * (length - len(name)) if length > len(name) else ""
        path.write_bytes((head[: -len("name='")] + padding + "name='" + name + "'/></testsuite>").encode(encoding))
        assert [one.node_id[-5:] for one in results(path, tmp_path)] == ["x\ufffd\ufffd\ufffdy"]


def test_the_document_type_of_cobertura_is_not_looked_up(tmp_path: Path) -> None:
    """It names an address, which may stand there."""
    text = (
        '<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "http://cobertura.invalid/coverage-04.dtd">'
        '<coverage><class filename="a.c"><lines><line number="3" hits="1"/></lines></class></coverage>'
    )
    assert coverage(written(tmp_path, text), tmp_path)["a.c"].executed == "3"


def test_every_beginning_of_a_report_is_an_error_or_is_read(tmp_path: Path) -> None:
    """A report that was cut off anywhere never crashes its reader."""
    whole = (FIXTURES / "surefire.xml").read_bytes()
    path = tmp_path / "junit.xml"
    for end in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:end])
        with pytest.raises(ReportError):
            records(path, tmp_path)


@pytest.mark.slow
def test_a_report_of_any_size_needs_memory_for_one_test(tmp_path: Path) -> None:
    """100 MB, most of it output, of which the beginning and the end are kept."""
    path = tmp_path / "junit.xml"
    line = "the same line of output, again and again, until it is enough\n"
    with path.open("w", encoding="utf-8") as file:
        file.write('<testsuites><testsuite name="s">')
        for number in range(10):
            file.write(f'<testcase classname="c" name="t{number}"><failure message="m"/><system-out>')
            for _ in range(1000):
                file.write(line * 164)
            file.write("</system-out></testcase>")
        file.write("</testsuite></testsuites>")
    assert path.stat().st_size > 100_000_000
    # In a process of its own: the most that this one ever needed would say nothing.
    code = (
        "import resource, sys; from pathlib import Path; from tests.producers.readers.reading import results\n"
        "def needed(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = needed(); path = Path(sys.argv[1]); found = results(path, path.parent)\n"
        "print(len(found), found[0].output[0].text[:20], needed() - before, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=ROOT)
    count, text, kib = done.stdout.splitlines()
    assert (count, text) == ("10", line[:20])
    assert int(kib) < 40_000


def test_a_tag_without_an_end_is_not_held_in_memory(tmp_path: Path) -> None:
    """One attribute of many megabytes is no report."""
    path = tmp_path / "junit.xml"
    with path.open("w", encoding="utf-8") as file:
        file.write('<testsuites><testsuite name="')
        for _ in range(10):
            file.write("x" * 1024 * 1024)
    with pytest.raises(ReportError, match="one tag or comment has more than 8 MiB"):
        records(path, tmp_path)
