"""Retries of an item and reruns of a launch: who takes whose place."""

from __future__ import annotations

from tests.sandbox.api import Api, refused


def test_a_root_item_is_no_retry(api: Api) -> None:
    """A retry directly under a launch answers 400 / 40016."""
    launch = api.launch()
    status, code, message = refused(api.start_item(launch, retry=True))
    assert (status, code) == (400, 40016)
    assert "Root test item can't be a retry." in message


def test_a_retry_needs_a_predecessor(api: Api) -> None:
    """A retry of what never ran answers 404 / 4043."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    assert refused(api.start_item(launch, suite, retry=True))[:2] == (404, 4043)


def test_a_retry_takes_the_place_of_its_predecessor(api: Api) -> None:
    """The last attempt counts; the earlier ones hang below it and fail nobody."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    first = api.item(launch, suite)
    api.finish_item(launch, first, "failed")
    second = api.item(launch, suite, retry=True)
    api.finish_item(launch, second, "passed")
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    shown = api.shown()
    assert shown.status == "PASSED"
    assert [item.uuid for item in shown.children(api.shown_item(suite))] == [second]
    assert api.shown_item(first).retry_of == second
    assert api.get(f"item/uuid/{second}").json()["retries"][0]["uuid"] == first


def test_a_retry_may_name_its_predecessor(api: Api) -> None:
    """RetryOf wins over the search by unique id."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    first = api.item(launch, suite, name="test_first")
    api.finish_item(launch, first, "failed")
    second = api.item(launch, suite, name="test_second", retryOf=first)
    assert api.shown_item(first).retry_of == second


def test_an_item_may_become_a_retry_at_its_finish(api: Api) -> None:
    """A finish with retry finds the attempt before it."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    first, second = api.item(launch, suite), api.item(launch, suite)
    api.finish_item(launch, first, "failed")
    api.finish_item(launch, second, "passed", retry=True)
    assert api.shown_item(first).retry_of == second


def test_a_retry_has_no_children(api: Api) -> None:
    """An item with statistics under a retry answers 400 / 40041."""
    launch = api.launch()
    suite = api.item(launch, type="suite")
    first = api.item(launch, suite)
    api.item(launch, suite, retry=True)
    assert refused(api.start_item(launch, first))[:2] == (400, 40041)


def test_a_rerun_continues_the_launch_and_retries_its_tests(api: Api) -> None:
    """A rerun of a name reopens the launch; a test of the same case replaces the earlier attempt."""
    launch = api.launch()
    suite = api.item(launch, type="suite", name="pkg")
    first = api.item(launch, suite, codeRef="pkg/a.py:test_a")
    api.finish_item(launch, first, "failed")
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    assert api.launch(rerun=True) == launch
    assert api.item(launch, type="suite", name="pkg") == suite
    second = api.item(launch, suite, codeRef="pkg/a.py:test_a")
    assert api.shown_item(first).retry_of == second
    api.finish_item(launch, second, "passed")
    api.finish_item(launch, suite, None)
    api.finish_launch(launch)
    assert (api.shown().status, api.shown().rerun, len(api.portal.launches)) == ("PASSED", True, 1)


def test_a_rerun_of_nothing_is_not_found(api: Api) -> None:
    """A rerun needs a launch of that uuid or name, in v2 too."""
    assert refused(api.start_launch(rerun=True))[:2] == (404, 4041)
    assert refused(api.start_launch(rerun=True, rerunOf="nowhere", version="v2"))[:2] == (404, 4041)


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
