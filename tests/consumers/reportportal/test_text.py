"""Limits of the server: what is cut says so, and what cannot be stored is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.looks import only, pairs
from harness.runs_of import START, failed, judged, passed, recorded
from testbus_consumers.reportportal import text
from testbus_consumers.testing import run_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

#: Any text at all, halves of surrogate pairs among it.
ANYTHING = st.text(st.characters(codec=None), max_size=400)


@pytest.mark.parametrize(
    ("given_text", "fitted"),
    [
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 105 + "… (cut, 24 characters)"),
        ("é" * 300, "é" * 105 + "… (cut, 195 characters)"),
        ("😀" * 64, "😀" * 64),
        ("😀" * 65, "😀" * 53 + "… (cut, 12 characters)"),
        ("a\x00b\x1b[0m", "a\ufffdb\ufffd[0m"),
        ("half \ud83d of one", "half \ufffd of one"),
        ("\ud83d\ude00", "😀"),
        ("", ""),
    ],
)
def test_what_is_too_long_says_how_much_was_cut(given_text: str, fitted: str) -> None:
    """Measured as Java does: an emoji is two."""
    assert text.fit(given_text, 128) == fitted


@given(ANYTHING)
def test_every_text_fits_and_fits_again_unchanged(given_text: str) -> None:
    """At most so many UTF-16 units, nothing that cannot be encoded, and the same when it is fitted again."""
    fitted = text.fit(given_text, 128)
    assert len(fitted.encode("utf-16-le")) <= 2 * 128
    assert text.fit(fitted, 128) == fitted


def test_long_names_and_reasons_are_reported_and_say_that_they_are_cut(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Launch, item, description, markers and labels; two long tests stay two."""
    worker = make_worker(launch_name="😀" * 300)
    context = run_context(started_at=START, labels={"k" * 200: "v" * 200, "empty": " "})
    names = ["test_" + "😀" * 1500 + end for end in "ab"]
    results = [passed(name, outcome="skipped", reason="r" * 5000, markers=[{"name": "m" * 300}]) for name in names]
    worker.deliver(recorded(context, *results))
    launch = only(portal)
    assert launch.name.endswith("… (cut, 184 characters)")
    assert [item.status for item in launch.items] == ["SKIPPED", "SKIPPED"]
    assert all(item.name.endswith(" characters)") for item in launch.items)
    assert all((item.description or "").endswith("… (cut, 2976 characters)") for item in launch.items)
    assert pairs(launch.items[0].attributes) == [("", "m" * 105 + "… (cut, 195 characters)")]
    assert ("k" * 105 + "… (cut, 95 characters)", "v" * 105 + "… (cut, 95 characters)") in pairs(launch.attributes)
    assert "empty" not in {key for key, _ in pairs(launch.attributes)}


def test_more_attributes_than_there_is_room_for_are_counted(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """The last one says how many are missing; what is told later still finds its place by replacing."""
    markers = [{"name": f"m{n}"} for n in range(400)]
    worker.deliver(recorded(run_context(started_at=START), failed("test_a", markers=markers)))
    attributes = only(portal).named("test_a").attributes
    assert len(attributes) == 255
    assert (attributes[-1].key, attributes[-1].value) == ("attributes_cut", "147 more, for which there was no room")


def test_a_long_verdict_says_that_it_is_cut(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """And is still known for ours to replace."""
    context = run_context(started_at=START)
    worker.deliver(judged(context, "incomplete", reasons=tuple(f"{number} {'x' * 300}" for number in range(20))))
    text, origin = (only(portal).description or "").split("\n\n")
    assert text.endswith(" characters)")
    assert origin == "`testbus show run-1`"
    assert len(only(portal).description or "") == 2048
    worker.deliver(judged(context, "passed", revision=2))
    assert (only(portal).description or "") == "**Passed**: 0 tests passed\n\n`testbus show run-1`"


def test_a_parameter_may_be_called_system(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """And its value may be empty; a word that the vendor's library reads in its own way stays a name."""
    parameters = {"system": "linux", "b": "", "a": "\x07\x00"}
    worker.deliver(recorded(run_context(started_at=START), passed("test_a", parameters=parameters)))
    assert only(portal).named("test_a").parameters == (("a", "\x07\ufffd"), ("b", ""), ("system", "linux"))
