"""How statuses, issues and retries spread in ReportPortal's less common cases."""

from __future__ import annotations

from tests.sandbox.api import Api, refused


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


def test_retries_in_progress_finish_with_the_last_attempt(api: Api) -> None:
    """An earlier attempt that nobody finished gets the status of the one that replaced it."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    attempts = [api.item(launch, suite), api.item(launch, suite, retry=True), api.item(launch, suite, retry=True)]
    api.finish_item(launch, attempts[2], "passed")
    assert [api.shown_item(attempt).status for attempt in attempts] == ["PASSED"] * 3
    assert [api.shown_item(attempt).retry_of for attempt in attempts] == [attempts[2], attempts[2], None]
    assert api.portal.totals.finished == 3
    api.finish_item(launch, attempts[0], "failed")
    assert api.shown_item(attempts[0]).issue is None
    api.finish_item(launch, suite, None)
    assert api.shown_item(suite).status == "PASSED"


def test_a_retry_of_a_retry_moves_it(api: Api) -> None:
    """Naming an attempt that was replaced already takes it from the one that replaced it."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    first = api.item(launch, suite)
    second = api.item(launch, suite, retry=True)
    third = api.item(launch, suite, name="test_b", retryOf=first)
    assert api.shown_item(first).retry_of == third
    assert api.shown_item(second).retry_of is None


def test_an_item_is_no_retry_of_itself(api: Api) -> None:
    """A finish that names the item itself answers 400 / 40036; one that names nothing known is only a finish."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    item = api.item(launch, suite)
    assert refused(api.finish_item(launch, item, retryOf=item))[:2] == (400, 40036)
    assert api.finish_item(launch, item, retryOf="nobody").status_code == 200


def test_a_rerun_may_bring_new_uuids_and_words(api: Api) -> None:
    """Launch and suites go on under the uuids of the rerun; other names and cases are new items."""
    launch = api.launch()
    suite = api.item(launch, type="suite", name="pkg", attributes=[{"value": "old"}])
    api.item(launch, suite, name="inner", type="suite", testCaseId="inner")
    api.item(launch, api.shown().named("inner").uuid)
    api.finish_launch(launch)
    assert api.launch(rerun=True, rerunOf=launch, uuid="again", description="second try", mode="DEBUG") == "again"
    assert api.item("again", type="suite", name="pkg", uuid="pkg-2", attributes=[{"value": "new"}]) == "pkg-2"
    assert api.item("again", "pkg-2", type="suite", name="inner", testCaseId="inner", description="d") != ""
    assert api.item("again", "pkg-2", type="suite", name="renamed", testCaseId="inner", uuid="new-1") == "new-1"
    assert api.item("again", type="suite", name="other", uuid="new-2") == "new-2"
    shown = api.shown()
    assert (shown.uuid, shown.description, shown.mode) == ("again", "second try", "DEBUG")
    assert [one.value for one in api.shown_item("pkg-2").attributes] == ["new"]
    assert [item.name for item in shown.items] == ["pkg", "inner", "test_a", "renamed", "other"]
    assert suite not in {item.uuid for item in shown.items}


def test_a_rerun_may_not_take_a_uuid(api: Api) -> None:
    """The unique constraints hold for reruns too."""
    api.launch(uuid="one", name="first")
    api.launch(uuid="two", name="second")
    assert "launch_uuid_key" in refused(api.start_launch(name="first", rerun=True, uuid="two"))[2]


def test_a_nested_step_of_a_rerun_is_new(api: Api) -> None:
    """Only items with statistics are looked for."""
    launch = api.launch()
    step = api.item(launch)
    api.item(launch, step, name="open", hasStats=False)
    api.finish_launch(launch)
    api.launch(rerun=True)
    api.item(launch, step, name="open", hasStats=False)
    assert [item.retry_of for item in api.shown().items] == [None, None, None]
