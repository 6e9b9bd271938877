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

from testbus_producers.readers.records import relative

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_producers.readers.markup import Element

#: Modules that were looked for on the disk and are remembered.
_MODULES_REMEMBERED: Final = 4096

#: A path that begins at the root of a file system, of whatever system.
_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|\\\\")

#: States by which CTest says what became of a test.
_CTEST_STATES: Final = frozenset({"run", "fail", "notrun", "disabled"})


@dataclass(kw_only=True)
class Suite:
    """A `testsuite` that is being read."""

    #: The element, without what is in it.
    element: Element
    #: Names of its properties, and of those of the suites around it.
    properties: set[str] = field(default_factory=set)
    #: Seconds of the tests in it that were read so far.
    elapsed: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """A `testcase` and what is around it."""

    #: The element.
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

    #: Node id.
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


def flavour_of(case: Case) -> Flavour:
    """Return the tool that wrote a test: the first in the table that recognises it."""
    return next(flavour for flavour in FLAVOURS if flavour.wrote(case))


def _pytest(case: Case, root: Path) -> Name:
    """Return `tests/test_a.py::TestA::test_p[0]`, as pytest has it, made again from `tests.test_a.TestA`."""
    module = _python_module(case.scope or case.name, case.file, root)
    if module is None:
        return _scoped(case, root)
    path, classes = module
    if not case.scope:
        return Name(path, path)
    return Name(
        "::".join((path, *classes, case.name)), path, f"{path}:{'.'.join((*classes, case.name.partition('[')[0]))}"
    )


def _jest(case: Case, root: Path) -> Name:
    """Return the full title, behind its file when jest-junit was told to name that."""
    title = case.name if case.name.startswith(case.scope) else f"{case.scope} {case.name}"
    return _in_file(case.file, title, root)


def _mocha(case: Case, root: Path) -> Name:
    return _in_file(case.file, case.name, root)


def _vitest(case: Case, root: Path) -> Name:
    return _in_file(case.scope, case.name, root)


def _playwright(case: Case, root: Path) -> Name:
    """Return `[phone] cart.spec.ts::…`: a test runs once in each of Playwright's projects."""
    name = _in_file(case.scope, case.name, root)
    project = case.suite.get("hostname")
    return name._replace(node_id=f"[{project}] {name.node_id}", parameters={"project": project}) if project else name


def _node(case: Case, root: Path) -> Name:
    """Return `cart > with a discount > adds`: Node names each level only once, around the test."""
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
    scope = case.scope or " > ".join(one.element.get("name") for one in case.suites if one.element.get("name"))
    told = not scope or case.name == scope or case.name.startswith(f"{scope} ")
    return Name(case.name if told else f"{scope}::{case.name}", _file(case.file, root))


#: Every tool that is known, in the order in which they are tried.
FLAVOURS: Final = (
    Flavour(
        tool="pytest",
        wrote=lambda case: case.root.get("name") == "pytest tests" or case.suite.get("name") == "pytest",
        name=_pytest,
    ),
    Flavour(tool="jest", wrote=lambda case: case.root.get("name") == "jest tests", name=_jest, utc=True),
    Flavour(tool="vitest", wrote=lambda case: case.root.get("name") == "vitest tests", name=_vitest, utc=True),
    Flavour(tool="mocha", wrote=lambda case: case.root.get("name") == "Mocha Tests", name=_mocha, utc=True),
    Flavour(
        tool="playwright",
        wrote=lambda case: "id" in case.root.attributes and case.scope == case.suite.get("name") and bool(case.scope),
        name=_playwright,
        utc=True,
    ),
    Flavour(
        tool="node",
        wrote=lambda case: case.scope in {"test", "suite"} and case.root.tag == "testsuites",
        name=_node,
        utc=True,
    ),
    Flavour(tool="go", wrote=lambda case: _has_property(case, "go.version"), name=_go),
    Flavour(
        tool="phpunit",
        wrote=lambda case: {"class", "assertions"} <= case.element.attributes.keys(),
        name=_phpunit,
    ),
    Flavour(tool="googletest", wrote=lambda case: "result" in case.element.attributes, name=_googletest),
    Flavour(
        tool="ctest",
        wrote=lambda case: case.element.get("status") in _CTEST_STATES and case.scope == case.name,
        name=_ctest,
    ),
    Flavour(
        tool="surefire",
        wrote=lambda case: "surefire" in case.root.get("xsi:noNamespaceSchemaLocation"),
        name=_scoped,
        thousands=True,
    ),
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
    if file.endswith(".py"):
        path = relative(file, root)
        module = path.removesuffix(".py").replace("/", ".")
        for end in range(len(parts), 0, -1):
            name = ".".join(parts[:end])
            if module == name or module.endswith(f".{name}"):
                return _portable(path), parts[end:]
        return _portable(path), parts
    if not all(part.isidentifier() or part.replace("-", "_").isidentifier() for part in parts):
        return None
    looks = [at for at, part in enumerate(parts, 1) if part.startswith("test_") or part.endswith("_test")]
    found = _on_disk(parts, root) or (looks[-1] if looks else None)
    return ("/".join(parts[:found]) + ".py", parts[found:]) if found else None


@lru_cache(maxsize=_MODULES_REMEMBERED)
def _on_disk(parts: tuple[str, ...], root: Path) -> int | None:
    ends = range(len(parts), 0, -1)
    return next((end for end in ends if Path(root, *parts[: end - 1], f"{parts[end - 1]}.py").is_file()), None)
