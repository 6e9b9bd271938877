"""How statuses and issues spread in ReportPortal's less common cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sandbox.api import Api


def test_a_late_child_settles_an_interrupted_suite(api: Api) -> None:
    """A suite that was stopped, interrupted or cancelled is computed again once all below it is finished."""
    launch = api.launch()
    outer = api.item(launch, type="suite")
    inner = api.item(launch, outer, type="suite")
    api.finish_item(launch, inner, "cancelled")
    api.finish_item(launch, outer, "interrupted")
    first, second = api.item(launch, inner), api.item(launch, inner)
    api.finish_item(launch, first, "passed")
    assert [api.shown_item(suite).status for suite in (outer, inner)] == ["INTERRUPTED", "CANCELLED"]
    api.finish_item(launch, second, "passed")
    assert [api.shown_item(suite).status for suite in (outer, inner)] == ["PASSED", "PASSED"]


def test_a_late_nested_step_settles_an_interrupted_test(api: Api) -> None:
    """A test without children takes the computed status with the effects on its issue."""
    launch = api.launch()
    test = api.item(launch)
    api.finish_item(launch, test, "interrupted")
    step = api.item(launch, test, hasStats=False)
    api.finish_item(launch, step, "failed")
    shown = api.shown_item(test)
    assert shown.status == "FAILED"
    assert shown.issue is not None
    assert api.shown_item(step).issue is None


def test_a_late_finish_of_an_interrupted_item_leaves_its_suite_alone(api: Api) -> None:
    """Only what was in progress settles those above; a correction does not."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    api.finish_launch(launch)
    api.finish_item(launch, step, "passed")
    assert (api.shown_item(step).status, api.shown_item(suite).status, api.shown().status) == (
        "PASSED",
        "FAILED",
        "FAILED",
    )


def test_a_persons_change_to_failed_spreads_upwards(api: Api) -> None:
    """The test gets an issue, its finished suites and launch fail."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    step = api.item(launch, suite)
    api.finish_item(launch, step, "passed")
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    api.put("item/2/update", {"status": "failed"})
    assert [item.status for item in api.shown().items] == ["FAILED", "FAILED"]
    assert api.shown().status == "FAILED"
    assert api.shown_item(step).issue is not None


def test_a_persons_change_stops_below_what_is_in_progress(api: Api) -> None:
    """A suite in progress is computed at its own finish."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    api.finish_item(launch, api.item(launch, suite), "passed")
    api.put("item/2/update", {"status": "skipped"})
    assert api.shown_item(suite).status == "IN_PROGRESS"
    api.put("item/2/update", {"status": "skipped"})
    assert api.shown().items[1].issue is None


def test_the_launch_may_make_skipped_tests_defects(api: Api) -> None:
    """With the system attribute skippedIssue a change to SKIPPED, and interrupting as skipped, need investigation."""
    launch = api.launch(attributes=[{"key": "skippedIssue", "value": "true", "system": True}])
    first, second = api.item(launch), api.item(launch)
    api.finish_item(launch, first, "passed")
    api.put("item/1/update", {"status": "skipped"})
    api.finish_launch(launch, status="skipped")
    assert [api.shown_item(item).issue is not None for item in (first, second)] == [True, True]
    assert api.shown_item(second).status == "SKIPPED"
