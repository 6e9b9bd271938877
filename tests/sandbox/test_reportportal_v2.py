"""API v2: it accepts, queues, and tells nobody what went wrong."""

from __future__ import annotations

from tests.sandbox.api import Api, refused


def test_v2_answers_less_than_v1(api: Api) -> None:
    """There is no number and no uniqueId, and the messages speak of acceptance."""
    assert api.start_launch(uuid="run", version="v2").json() == {"id": "run"}
    assert api.start_item("run", uuid="one", version="v2").json() == {"id": "one"}
    message = {"message": "Accepted finish request for test item ID = one"}
    assert api.finish_item("run", "one", version="v2").json() == message
    assert set(api.finish_launch("run", version="v2").json()) == {"id", "link"}
    assert (api.shown().status, api.shown_item("one").status) == ("PASSED", "PASSED")


def test_v2_hides_business_errors(api: Api) -> None:
    """A duplicate and a second finish answer well and change nothing; only the sandbox knows."""
    for _ in range(2):
        assert api.start_launch(uuid="run", version="v2").status_code == 201
    for _ in range(2):
        assert api.finish_launch("run", version="v2").status_code == 200
    hidden = api.portal.hidden
    assert [(one.request, one.code, one.waiting) for one in hidden] == [
        ("start launch", 5000, False),
        ("finish launch", 40023, False),
    ]


def test_v2_waits_for_what_is_missing(api: Api) -> None:
    """Requests out of order are applied once what they need is there."""
    api.logs({"launchUuid": "run", "itemUuid": "step", "time": 0, "message": "early"}, version="v2")
    api.finish_item("run", "step", version="v2")
    api.start_item("run", "suite", uuid="step", version="v2")
    api.start_item("run", uuid="suite", type="suite", version="v2")
    assert {one.code for one in api.portal.hidden if one.waiting} == {4041, 4043}
    api.start_launch(uuid="run", version="v2")
    assert api.portal.hidden == ()
    assert api.shown_item("step").status == "PASSED"
    assert api.shown_item("step").parent == "suite"


def test_v1_brings_what_v2_waits_for(api: Api) -> None:
    """The two versions share one store."""
    api.start_item("run", uuid="one", version="v2")
    assert api.portal.totals.items == 0
    api.start_launch(uuid="run")
    assert api.portal.totals.items == 1


def test_v2_needs_a_launch_to_route_by(api: Api) -> None:
    """A finish or a log without launchUuid answers 400 / 40016."""
    assert refused(api.finish_item("run", "one", launchUuid=None, version="v2"))[:2] == (400, 40016)
    outcome = api.logs({"itemUuid": "one", "time": 0}, version="v2").json()["responses"][0]
    assert "Launch UUID should not be null or empty." in outcome["message"]
    entry = {"launchUuid": "run", "time": 0, "uuid": "log-1"}
    assert api.post("log/entry", entry, "v2").json() == {"id": "log-1"}


def test_v2_reruns_under_the_uuid_of_the_launch(api: Api) -> None:
    """A rerun answers the uuid that there is."""
    launch = api.launch()
    api.finish_launch(launch)
    assert api.start_launch(rerun=True, version="v2").json() == {"id": launch}
    assert api.shown().status == "IN_PROGRESS"
