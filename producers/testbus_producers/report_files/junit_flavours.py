"""What a test is called: one rule for each tool that writes JUnit XML, in a table.

JUnit XML has no definition; each tool puts its names where it likes. A name must be stable from run to run and from
machine to machine, and readable to whoever knows the tool: it is what the tool itself prints, where that is unique.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from testbus_producers.report_files.records import relative

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_producers.report_files.xml_stream import Element

#: Modules that were looked for on the disk and are remembered.
_MODULES_REMEMBERED: Final = 4096

#: Elements that hold tests; the outermost one is either.
SUITES: Final = frozenset({"testsuites", "testsuite"})

#: A path that begins at the root of a file system, of whatever system.
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")

#: States by which CTest says what became of a test.
_CTEST_STATES: Final = frozenset({"run", "fail", "notrun", "disabled"})

#: What GoogleTest says beside the state.
_GOOGLE_RESULTS: Final = frozenset({"completed", "skipped", "suppressed"})

#: Class names that say nothing.
_NO_SCOPES: Final = frozenset({"", "test", "tests", "suite"})

#: Source files of JavaScript and TypeScript, by which tools name suites.
_SCRIPT = re.compile(r"\S.*\.[cm]?[jt]sx?$")

#: Attributes of Gradle's suites, in its order.
_GRADLE_SUITE: Final = ("name", "tests", "skipped", "failures", "errors", "timestamp", "hostname", "time")

#: All that Node says of a test.
_NODE_CASE: Final = frozenset({"name", "time", "classname", "failure", "file", "line"})

#: How the tools around Xcode name the whole of a session.
_XCODE_SESSIONS: Final = frozenset({"All tests", "Selected tests"})


@dataclass(kw_only=True)
class Suite:
    """A `testsuite` that is being read."""

    #: The element, without what is in it.
    element: Element
    #: Names of its properties, and of those of the suites around it.
    properties: set[str] = field(default_factory=set)
    #: Seconds of the tests in it that were read so far.
    elapsed: float = 0.0
    #: Whether it has an element for its properties, be it empty.
    described: bool = False
    #: Its number among the suites of its report, from 1.
    number: int = 0


class Position:
    """Where in a report its reader is: which suites are open, and which tool wrote what is in them."""

    def __init__(self) -> None:
        """Begin before the document's outermost element."""
        #: The outermost element.
        self.root: Element | None = None
        #: The suites that are open, outermost first; the outermost element is one of them, whichever it is.
        self.suites: list[Suite] = []
        self._flavour: Flavour | None = None
        self._count = 0

    def start(self, element: Element) -> None:
        """Note that an element began."""
        if self.root is None:
            self.root = element
        elif element.tag not in SUITES:
            return
        self._flavour = None
        around = set(self.suites[-1].properties) if self.suites else set()
        self._count += 1
        self.suites.append(Suite(element=element, properties=around, number=self._count))

    def end(self, element: Element) -> Suite | None:
        """Note that an element ended; return the suite that it was."""
        if not self.suites or element.tag not in SUITES:
            return None
        self._flavour = None
        return self.suites.pop()

    def describe(self, properties: Element) -> None:
        """Note the names of the properties of the innermost suite."""
        self.suites[-1].described = True
        self.suites[-1].properties.update(one.get("name") for one in properties.named("property"))

    def case(self, element: Element) -> tuple[Case, Flavour]:
        """Return a test with what is around it, and the tool that wrote it."""
        assert self.root is not None
        suites = self.suites if self.root.tag == "testsuite" else self.suites[1:]
        case = Case(element=element, root=self.root, suites=tuple(suites))
        self._flavour = self._flavour or flavour_of(case)
        return case, self._flavour

    @property
    def name(self) -> str:
        """Return what the open suites are called; empty when none of them has a name."""
        return " > ".join(name for suite in self.suites if (name := suite.element.get("name")))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A `testcase` and what is around it."""

    element: Element
    #: The document's outermost element.
    root: Element
    #: The suites around it, outermost first; empty when it stands alone.
    suites: tuple[Suite, ...]

    @property
    def name(self) -> str:
        """Return its name."""
        return self.element.get("name") or "(no name)"

    @property
    def scope(self) -> str:
        """Return its class name."""
        return self.element.get("classname")

    @property
    def suite(self) -> Element:
        """Return the innermost suite; the root when there is none."""
        return self.suites[-1].element if self.suites else self.root

    @property
    def file(self) -> str:
        """Return the source file as the tool wrote it; empty when it wrote none."""
        around = (suite.element.get("file") for suite in reversed(self.suites))
        return self.element.get("file") or next((file for file in around if file), "")


class Name(NamedTuple):
    """What a test is called, and where it is."""

    node_id: str
    #: Source file, relative, with forward slashes; None when nobody says.
    file: str | None = None
    #: Where the code is, as `pkg/test_a.py:TestA.test_p`.
    code_ref: str | None = None
    #: Parameters that the report names.
    parameters: dict[str, str] = {}  # noqa: RUF012 nobody changes it


@dataclass(frozen=True, kw_only=True)
class Flavour:
    """A tool that writes JUnit XML in its own way."""

    #: The tool's name; `junit` for any other.
    tool: str
    #: Whether a test is this tool's.
    wrote: Callable[[Case], bool]
    #: What it calls the test, given the project's folder.
    name: Callable[[Case, Path], Name]
    #: Whether times without a zone are UTC; else they are the machine's.
    utc: bool = False
    #: Whether a comma in a duration separates thousands.
    thousands: bool = False
    #: Whether names are unique by nature, so that a second entry of one is another attempt and not another test.
    unique: bool = False


def flavour_of(case: Case) -> Flavour:
    """Return the tool that wrote a test: the first in the table that recognises it."""
    return next(flavour for flavour in FLAVOURS if flavour.wrote(case))


def _pytest(case: Case, root: Path) -> Name:
    """Return `tests/test_a.py::TestA::test_p[0]`, as pytest has it, made again from `tests.test_a.TestA`."""
    module = _python_module(case.scope or case.name, case.file, root)
    if module is None:
        return _scoped(case, root)
    path, classes = module
    # With a file that names no module of a name's, as pytest's xunit1 does of an inherited test, it is only its place.
    file = _portable(relative(case.file, root)) if case.file.endswith(".py") else path
    if not case.scope:
        whole = _is_pytest(case) and path.removesuffix(".py").replace("/", ".") == case.name
        return Name(path, file) if whole else Name(f"{path}::{case.name}", file)
    return Name(
        "::".join((path, *classes, case.name)), file, f"{path}:{'.'.join((*classes, case.name.partition('[')[0]))}"
    )


def _jest(case: Case, root: Path) -> Name:
    """Return the full title, behind its file when jest-junit was set to name that, wherever it puts it."""
    places = (case.file, case.scope, case.suite.get("name"))
    file = next((place for place in places if _SCRIPT.fullmatch(place)), case.file)
    scope = "" if case.scope == file else case.scope
    title = case.name if case.name.startswith(scope) else f"{scope} {case.name}"
    return _in_file(file, title, root)


def _mocha(case: Case, root: Path) -> Name:
    return _in_file(case.file, case.name, root)


def _mocha_xunit(case: Case, root: Path) -> Name:
    """Return the full title: Mocha's own reporter puts the titles around a test where a class would be."""
    return _in_file(case.file, f"{case.scope} {case.name}".strip(), root)


def _karma(case: Case, root: Path) -> Name:  # noqa: ARG001 it knows no files
    """Return `[Chrome Headless] cart adds`, without the version and the system, which change."""
    browser = re.split(r" [\d.]+ \(| \(", case.suite.get("name"), maxsplit=1)[0]
    return Name(f"[{browser}] {case.name}", parameters={"browser": browser})


def _vitest(case: Case, root: Path) -> Name:
    return _in_file(case.scope, case.name, root)


def _playwright(case: Case, root: Path) -> Name:
    """Return `[phone] cart.spec.ts::…`: a test runs once in each of Playwright's projects."""
    name = _in_file(case.scope, case.name, root)
    project = case.suite.get("hostname")
    return name._replace(node_id=f"[{project}] {name.node_id}", parameters={"project": project}) if project else name


def _node(case: Case, root: Path) -> Name:
    """Return `cart > with a discount > adds`: Node names each level only once, around the test.

    A file that failed as a whole is a test, whose name is its path.
    """
    if not case.suites and _SCRIPT.fullmatch(case.name):
        path = relative(case.name, root)
        return Name(_portable(path), path)
    return _in_file(case.file, " > ".join([*(one.element.get("name") for one in case.suites), case.name]), root)


def _go(case: Case, root: Path) -> Name:  # noqa: ARG001 a package is no folder of the project
    """Return `example.com/shop/cart::TestTotals/none`; in its class go-junit-report shortens the package."""
    return Name(f"{case.suite.get('name') or case.scope}::{case.name}")


def _phpunit(case: Case, root: Path) -> Name:
    return Name(f"{case.element.get('class')}::{case.name}", _file(case.file, root))


def _ctest(case: Case, root: Path) -> Name:  # noqa: ARG001 it knows no files
    return Name(case.name)


def _googletest(case: Case, root: Path) -> Name:
    parameters = {name: case.element.get(name) for name in ("value_param", "type_param") if case.element.get(name)}
    return Name(f"{case.scope}.{case.name}", _file(case.file, root), parameters=parameters)


def _scoped(case: Case, root: Path) -> Name:
    """Return `shop.CartTest::adds`, from whatever there is."""
    around = " > ".join(one.element.get("name") for one in case.suites if one.element.get("name"))
    scope = around if around and case.scope.lower() in _NO_SCOPES else case.scope
    is_complete = not scope or case.name == scope or case.name.startswith(f"{scope} ")
    return Name(case.name if is_complete else f"{scope}::{case.name}", _file(case.file, root))


def _is_pytest(case: Case) -> bool:
    suite = case.suite
    named = suite.get("name") == "pytest" and {"errors", "failures", "skipped", "tests"} <= suite.attributes.keys()
    return case.root.get("name") == "pytest tests" or named


def _is_playwright(case: Case) -> bool:
    suite = case.suite
    signs = "id" in case.root.attributes and "hostname" in suite.attributes and case.scope == suite.get("name")
    return signs and bool(_SCRIPT.fullmatch(case.scope))


def _is_node(case: Case) -> bool:
    """Tell Node's own runner: beside the class, which anybody may call `test`, by what it never writes."""
    suites = [suite.element.attributes for suite in case.suites]
    return (
        case.scope in {"test", "suite"}
        and case.root.tag == "testsuites"
        and not case.root.attributes
        and case.element.attributes.keys() <= _NODE_CASE
        and all({"disabled", "hostname"} <= suite.keys() and "timestamp" not in suite for suite in suites)
    )


def _is_gradle(case: Case) -> bool:
    attributes = tuple(case.root.attributes)
    return case.root.tag == "testsuite" and attributes == _GRADLE_SUITE and case.suites[-1].described


def _is_xcode(case: Case) -> bool:
    """Tell xcpretty, xcbeautify, trainer and the like by what they call a session, and tests as XCTest has them."""
    session = case.root.get("name")
    if case.root.tag != "testsuites" or not case.name.startswith("test"):
        return False
    # trainer names no session, but a method as Swift does; a class of Java has dots, and a file of its own.
    swift = not session and "." not in case.scope and bool(case.scope) and case.name.endswith("()")
    return swift or session in _XCODE_SESSIONS or session.endswith(".xctest")


#: Every tool that is known, in the order in which they are tried.
FLAVOURS: Final = (
    Flavour(tool="pytest", wrote=_is_pytest, name=_pytest),
    Flavour(tool="jest", wrote=lambda case: case.root.get("name") == "jest tests", name=_jest, utc=True),
    Flavour(tool="vitest", wrote=lambda case: case.root.get("name") == "vitest tests", name=_vitest, utc=True),
    Flavour(
        tool="mocha",
        wrote=lambda case: case.root.get("name") == "Mocha Tests" and case.root.tag == "testsuite",
        name=_mocha_xunit,
        utc=True,
    ),
    Flavour(tool="mocha", wrote=lambda case: case.root.get("name") == "Mocha Tests", name=_mocha, utc=True),
    Flavour(tool="playwright", wrote=_is_playwright, name=_playwright, utc=True),
    Flavour(tool="karma", wrote=lambda case: _has_property(case, "browser.fullName"), name=_karma, utc=True),
    Flavour(tool="node", wrote=_is_node, name=_node, utc=True),
    Flavour(tool="go", wrote=lambda case: _has_property(case, "go.version"), name=_go, unique=True),
    Flavour(
        tool="phpunit",
        wrote=lambda case: {"class", "assertions"} <= case.element.attributes.keys(),
        name=_phpunit,
    ),
    Flavour(
        tool="googletest",
        wrote=lambda case: case.element.get("result") in _GOOGLE_RESULTS and "status" in case.element.attributes,
        name=_googletest,
    ),
    Flavour(
        tool="ctest",
        wrote=lambda case: (
            case.element.get("status") in _CTEST_STATES
            and case.scope == case.name
            and "disabled" in case.root.attributes
        ),
        name=_ctest,
    ),
    Flavour(
        tool="surefire",
        wrote=lambda case: "surefire" in case.root.get("xsi:noNamespaceSchemaLocation"),
        name=_scoped,
        thousands=True,
    ),
    Flavour(tool="nextest", wrote=lambda case: case.root.get("name").startswith("nextest"), name=_scoped, unique=True),
    Flavour(tool="nose2", wrote=lambda case: case.suite.get("name") == "nose2-junit", name=_pytest),
    Flavour(tool="ant", wrote=lambda case: _has_property(case, "ant.project.name"), name=_scoped, utc=True),
    Flavour(tool="gradle", wrote=_is_gradle, name=_scoped, utc=True, unique=True),
    Flavour(tool="xcode", wrote=_is_xcode, name=_scoped, unique=True),
    Flavour(tool="python", wrote=lambda case: case.file.endswith(".py"), name=_pytest),
    Flavour(tool="junit", wrote=lambda case: True, name=_scoped),  # noqa: ARG005 whatever is left
)


def _has_property(case: Case, name: str) -> bool:
    return bool(case.suites) and name in case.suites[-1].properties


def _in_file(file: str, title: str, root: Path) -> Name:
    path = _file(file, root)
    return Name(f"{_portable(path)}::{title}" if path else title, path)


def _file(file: str, root: Path) -> str | None:
    return relative(file, root) if file else None


def _portable(path: str) -> str:
    """Return a path that is the same on another machine: of one outside of the project only the last part."""
    return path.rpartition("/")[2] if _ABSOLUTE.match(path) else path


def _python_module(dotted: str, file: str, root: Path) -> tuple[str, tuple[str, ...]] | None:
    """Return path and classes of `tests.test_a.TestA`: by the file if the report names it, by the disk, by its look."""
    parts = tuple(dotted.split("."))
    path = relative(file, root) if file.endswith(".py") else ""
    module = path.removesuffix(".py").replace("/", ".")
    for end in range(len(parts), 0, -1) if path else ():
        name = ".".join(parts[:end])
        if module == name or module.endswith(f".{name}"):
            return _portable(path), parts[end:]
    if all(part.isidentifier() or part.replace("-", "_").isidentifier() for part in parts):
        looks = [at for at, part in enumerate(parts, 1) if part.startswith("test_") or part.endswith("_test")]
        found = _on_disk(parts, root) or (looks[-1] if looks else None)
        # Beside a file that is none of it, only of a class in it a name is a module's.
        if found and (not path or found < len(parts)):
            return "/".join(parts[:found]) + ".py", parts[found:]
    return (_portable(path), parts) if path else None


@lru_cache(maxsize=_MODULES_REMEMBERED)
def _on_disk(parts: tuple[str, ...], root: Path) -> int | None:
    ends = range(len(parts), 0, -1)
    return next((end for end in ends if Path(root, *parts[: end - 1], f"{parts[end - 1]}.py").is_file()), None)
