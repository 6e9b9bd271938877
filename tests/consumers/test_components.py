"""The components of the configuration: which belongs to which, and who reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers import registry
from testbus_consumers.components import Placing
from testbus_consumers.settings import Settings, parse

if TYPE_CHECKING:
    from pathlib import Path

#: Two whose globs overlap.
COMPONENTS: dict[str, Any] = {
    "users": {"paths": ["src/api/users/**"], "tests": ["tests/api/*.py::test_user*", "tests/users/"]},
    "api": {"paths": ["src/api/**"], "tests": ["tests/api/**"], "owner": "team-api", "critical": True},
}

#: Two that are only names.
TWO = "components: {api: {}, web: {}}\n"


def placing(whole: str | None = None) -> Placing:
    """Return where things belong."""
    return Placing(parse(Settings, {"components": COMPONENTS}, "the file").components, whole)


@pytest.mark.parametrize(
    ("path", "component"),
    [("src/api/users/a.py", "users"), ("src/api/b.py", "api"), ("src/web/c.py", None), ("tests/api/test_a.py", None)],
)
def test_a_file_belongs_to_the_first_that_fits(path: str, component: str | None) -> None:
    """In the order of the configuration; a test's file is no file of its component."""
    assert placing().of_file(path) == component


@pytest.mark.parametrize(
    ("node_id", "component"),
    [
        ("tests/api/test_a.py::test_user_is_kept", "users"),
        ("tests/api/test_a.py::test_order", "api"),
        ("tests/users/deep/test_b.py::TestUsers::test_x[tests/api/y]", "users"),
        ("tests/web/test_c.py::test_user", None),
        ("tests/web/test_c.py::test_x[tests/api/y]", None),
    ],
)
def test_a_test_belongs_to_the_first_that_fits(node_id: str, component: str | None) -> None:
    """A glob with `::` is of node ids, any other of the files that tests are in."""
    assert placing().of_test(node_id) == component


def test_all_of_a_run_that_names_its_component_belongs_to_that() -> None:
    """Whatever the globs say, and whether or not the configuration has it."""
    whole = placing("jobs")
    assert {whole.of_file("src/api/b.py"), whole.of_test("tests/web/test_c.py::test_user")} == {"jobs"}
    assert whole.names == ("users", "api", "jobs")
    assert Placing({}, "jobs")
    assert not Placing({})


def test_gates_and_alarms_have_those_of_the_whole_configuration() -> None:
    """One map, in its order."""
    running = registry.instances(
        parse(Settings, {"components": COMPONENTS, "consumers": {"regressions": {}}}, "the file")
    )
    found = {one.label: list(one.settings.components) for one in running if hasattr(one.settings, "components")}
    assert found == {label: ["users", "api"] for label in ("gates", "regressions")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("components:\n  api: {pathz: [a]}\n", ["2 components.api.pathz: unknown key; allowed here: critical, owner"]),
        ("components:\n  api:\n    tests: tests/**\n", ["3 components.api.tests: expected a list"]),
        ("components:\n  api:\n    critical: very\n", ["3 components.api.critical: expected true or false"]),
        (
            "components:\n  api: {pathz: [a]}\nconsumers: {gates: {rules: [{rule: failures, component: api}]}}\n",
            ["2 components.api.pathz: unknown key"],
        ),
        (
            "consumers:\n  regressions:\n    components: {api: ['a']}\n",
            ["3 consumers.regressions.components: unknown key; components are the same for all"],
        ),
        (
            f"{TWO}consumers:\n  gates:\n    rules: [{{rule: failures}}, {{rule: failures,\n      component: apu}}]\n",
            ["5 consumers.gates.rules.1.component: unknown component apu; expected one of: api, web"],
        ),
        (
            "consumers:\n  gates:\n    rules:\n      - {rule: tests, minimum: 1, component: api}\n",
            ["4 consumers.gates.rules.0.component: unknown component api; the section components names none"],
        ),
        (
            f"{TWO}consumers:\n  gates:\n    rules: [{{rule: coverage, minimum: 1, component: api, paths: [a]}}]\n",
            ["4 consumers.gates.rules.0: give component or paths, not both"],
        ),
    ],
)
def test_faults_are_reported_with_their_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    """As those of any other section."""
    file = tmp_path / "testbus.yaml"
    file.write_text(text, encoding="utf-8")
    _, faults = registry.validated(file)
    found = [f"{one.line} {one.key}: {one.text}" for one in faults]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
