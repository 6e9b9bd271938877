"""Coverage by component, and its change."""

from __future__ import annotations

from typing import Any

import pytest

from testbus.report.build import build
from testbus.report.coverage import files_of, summarize
from testbus.report.gather import Gathered
from testbus.report.model import Earlier
from testbus_consumers.components import Placing
from testbus_consumers.settings import ComponentSettings
from tests.cli.report.samples import START, Told


def row(path: str, statements: str, executed: str) -> dict[str, Any]:
    """Return the coverage of a file."""
    return {
        "path": path, "statements": statements, "executed": executed, "branches": None, "executed_branches": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("paths", "components"),
    [
        (("shop/a.py", "bank/b.py"), ["bank", "shop"]),
        (("src/shop/api/a.py", "src/shop/db/b.py", "src/shop/c.py"), ["src/shop", "src/shop/api", "src/shop/db"]),
        (("shop/a.py", "shop/b.py"), ["shop"]),
        (("setup.py", "shop/a.py", "shop_tools/a.py"), [".", "shop", "shop_tools"]),
    ],
)
def test_components_are_the_folders_below_what_all_share(paths: tuple[str, ...], components: list[str]) -> None:
    """The packages of a repository, or the parts of its only package."""
    found = summarize(files_of(row(path, "1-10", "1-5") for path in paths))
    assert found is not None
    assert [one.name for one in found.components] == components


def test_components_are_those_of_the_configuration() -> None:
    """In its order, the first that fits; what is of none is other, and what has no file is not shown."""
    components = {
        "web": ComponentSettings(paths=("web/**",)),
        "api": ComponentSettings(paths=("api/**", "web/api.py")),
        "db": ComponentSettings(paths=("api/db/**",)),
    }
    now = files_of(row(path, "1-10", "1-5") for path in ("api/a.py", "api/db/b.py", "web/api.py", "setup.py"))
    before = files_of([row("api/a.py", "1-10", "1-4"), row("setup.py", "1-10", "1-9")])
    earlier = Earlier(run="r0", branch="main", commit=None, started_at=START)
    found = summarize(now, before, earlier, Placing(components))
    assert found is not None
    assert [(one.name, one.files, one.change) for one in found.components] == [
        ("web", 1, None),
        ("api", 2, 10.0),
        ("other", 1, -40.0),
    ]
    whole = summarize(now, (), None, Placing(components, "jobs"))
    assert whole is not None
    assert [(one.name, one.files) for one in whole.components] == [("jobs", 4)]


def test_the_change_is_in_percentage_points() -> None:
    """Against the earlier run, component by component; a component that was not there is new."""
    now = files_of([row("shop/a.py", "1-10", "1-9"), row("bank/b.py", "1-10", "1-2")])
    before = files_of([row("shop/a.py", "1-10", "1-5"), row("old/c.py", "1-10", "1-10")])
    earlier = Earlier(run="r0", branch="main", commit=None, started_at=START)
    found = summarize(now, before, earlier)
    assert found is not None
    assert {one.name: one.change for one in found.components} == {"bank": None, "shop": 40.0}
    assert found.total.change == -20.0
    assert found.earlier == earlier


def test_without_an_earlier_run_there_is_no_change() -> None:
    """Nothing is compared with nothing."""
    found = summarize(files_of([row("shop/a.py", "1-10", "1-9")]))
    assert found is not None
    assert (found.total.change, found.earlier) == (None, None)
    assert summarize(()) is None


def test_coverage_of_all_shards_and_variants_is_added_up() -> None:
    """A line that ran anywhere has run; a file whose lines cannot be read is left out."""
    told = Told()
    for name, lines in (("a", "1-5"), ("b", "4-8")):
        told.producer(name, variant=name)
        told.coverage(name, shop__a=("1-10", lines))
    told.coverage("b", shop__b=("ten lines", "none"))
    kept = Gathered()
    for event in told.events:
        kept.add(event)
    report = build(kept)
    assert report is not None
    assert report.coverage is not None
    assert (report.coverage.total.files, report.coverage.total.covered, report.coverage.total.coverable) == (1, 8, 10)
