"""Sessions of pytest by its plugin and by its JUnit XML: the same tests under the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_schemas import fingerprint
from tests.producers.readers.reading import results

if TYPE_CHECKING:
    from tests.producers.conftest import Project

CASES = """
    import pytest

    class TestCart:
        @pytest.mark.parametrize("text", ["a::b", "x.y", "[z]", "ü"])
        def test_text(self, text): assert text != "x.y"

        class TestInner:
            def test_deep(self): raise KeyError("deep")

    @pytest.mark.skip(reason="not now")
    def test_skipped(): pass

    @pytest.mark.xfail(reason="known", strict=True)
    def test_fixed(): pass

    @pytest.mark.xfail(reason="known")
    def test_known(): assert 0

    @pytest.fixture
    def broken(): raise OSError("no disk")

    def test_setup(broken): pass

    @pytest.fixture
    def leaking():
        yield
        raise RuntimeError("left open")

    def test_both(leaking): assert 1 == 2
    def test_teardown(leaking): pass
"""


def test_the_report_says_what_the_plugin_says(project: Project) -> None:
    """Names, outcomes, reasons and fingerprints are equal: a switch from one to the other breaks no history."""
    (project.root / "tests").mkdir()
    project.write(
        **{"tests/test_cart": CASES, "test_top": "def test_it(): pass", "test_broken": "import no_such_thing"}
    )
    ran = project.run("--continue-on-collection-errors")
    assert ran.status == 1, ran.output
    published = {one.node_id: one for one in project.results()}
    read = {one.node_id: one for one in results(project.root / "junit.xml", project.root)}
    assert {name: one.outcome for name, one in read.items()} == {name: one.outcome for name, one in published.items()}
    assert {name: one.reason for name, one in read.items()} == {name: one.reason for name, one in published.items()}
    # Of expected failures JUnit XML has nothing but the reason.
    causes = [
        {name: [fingerprint(cause) for cause in one.failures] for name, one in found.items() if one.outcome.bad}
        for found in (read, published)
    ]
    assert causes[0] == causes[1]
