"""Markers that ReportPortal's own pytest agent reads as something else than an attribute: name, tc_id and issue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reportportal_client.core.rp_issues import Issue

from testbus_consumers.reportportal import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_schemas import Result
    from testbus_schemas.results import Marker

#: Names of those markers, and of pytest's own that say nothing to people.
IGNORED: Final = frozenset({"parametrize", "usefixtures", "filterwarnings", "issue", "name"})

#: Type of a defect that an issue's marker does not name.
_UNNAMED: Final = "TI"


def name(result: Result) -> str | None:
    """Return what `@pytest.mark.name("…")` calls a test."""
    for marker in _named(result, "name"):
        return marker.keywords.get("name") or next(iter(marker.args), None)
    return None


def test_case(result: Result) -> str | None:
    """Return the test case of a result: its code, or what `@pytest.mark.tc_id("…")` says, and its parameters.

    With a marker, parameters count only where it says `parameterized=True`, and of those only its `params`; with
    `use_index=True` not their values do, but their names and numbers.
    """
    base, values = result.code_ref, list(result.parameters.values())
    for marker in _named(result, "tc_id"):
        base = next(iter(marker.args), "")
        values = _counting(result, marker) if marker.keywords.get("parameterized") == "True" else []
        break
    if base is None:
        return None
    return f"{base}[{','.join(sorted(values))}]" if values else base


def _counting(result: Result, marker: Marker) -> list[str]:
    """Return the parameters by which a marker tells test cases apart: their values, or their names and numbers."""
    wanted = list(filter(None, marker.keywords.get("params", "").split("\n")))
    if marker.keywords.get("use_index") != "True":
        return [result.parameters.get(one, "None") for one in wanted or result.parameters]
    return [str((one, result.parameter_indices.get(one))) for one in wanted or result.parameter_indices]


def issue_pairs(result: Result) -> list[tuple[str, str]]:
    """Return the attributes of issues that markers name."""
    return [("issue", one) for marker in _named(result, "issue") for one in _ids(marker)]


def issue(result: Result, locator: Callable[[str], str | None]) -> Issue | None:
    """Return the defect that `@pytest.mark.issue(issue_id=…, reason=…, issue_type=…, url=…)` gives a test.

    `locator` returns that of a type's name, None for one that the project does not have: then there is no defect.
    """
    for marker in _named(result, "issue"):
        found = locator(marker.keywords.get("issue_type") or _UNNAMED)
        said = marker.keywords.get("reason") or marker.name
        linked = " ".join(_link(one, marker.keywords.get("url", "")) for one in _ids(marker))
        return Issue(found, text.fit(f"* {said}: {linked}" if linked else said, text.COMMENT)) if found else None
    return None


def _named(result: Result, wanted: str) -> Iterator[Marker]:
    return (marker for marker in result.markers if marker.name == wanted)


def _ids(marker: Marker) -> list[str]:
    return [one for one in marker.keywords.get("issue_id", "").split("\n") if one and one != "None"]


def _link(issue_id: str, url: str) -> str:
    return (
        f"[{issue_id}]({url.replace('{issue_id}', issue_id)})" if url.startswith(("http://", "https://")) else issue_id
    )
