"""ReportPortal's lists: filters select, pages cut, and nothing is ignored."""

from __future__ import annotations

import pytest

from tests.sandbox.api import START_MS, Api, refused


def test_launches_are_listed_in_pages(api: Api) -> None:
    """Filters select, pages cut, DEBUG launches have a list of their own."""
    uuids = [api.launch(name=f"run {number}") for number in range(3)]
    debug = api.launch(name="trial", mode="DEBUG")
    found = api.get("launch", **{"filter.eq.uuid": uuids[1]}).json()
    assert [launch["uuid"] for launch in found["content"]] == [uuids[1]]
    assert found["page"] == {"number": 1, "size": 50, "totalElements": 1, "totalPages": 1}
    second = api.get("launch", **{"page.page": "2", "page.size": "2", "page.sort": "startTime,asc"}).json()
    assert [launch["uuid"] for launch in second["content"]] == [uuids[2]]
    assert second["page"] == {"number": 2, "size": 2, "totalElements": 3, "totalPages": 2}
    named = api.get("launch", **{"filter.cnt.name": "RUN", "filter.!eq.name": "run 0"}).json()
    assert named["page"]["totalElements"] == 2
    assert [launch["uuid"] for launch in api.get("launch/mode").json()["content"]] == [debug]
    assert api.get("launch", **{"filter.eq.uuid": debug}).json()["content"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"filter.eq.colour": "red"}, 40011),
        ({"filter.like.name": "x"}, 40011),
        ({"filter.name": "x"}, 40011),
        ({"filter.eq.number": "many"}, 40011),
        ({"filter.eq.mode": "DEBUG"}, 40011),
        ({"filter.eq.name": " "}, 40016),
        ({"page.sort": "colour,desc"}, 40012),
    ],
)
def test_a_filter_that_does_not_exist_is_refused(api: Api, query: dict[str, str], code: int) -> None:
    """A list does not ignore what it does not understand."""
    assert refused(api.get("launch", **query))[:2] == (400, code)


def test_items_are_listed_by_launch(api: Api) -> None:
    """The launch's number is required; other filters narrow."""
    launch = api.launch()
    api.finish_item(launch, api.item(launch), "failed")
    api.item(launch, name="other")
    query = {"filter.eq.launchId": "1", "filter.in.status": "failed,skipped"}
    assert [item["name"] for item in api.get("item", **query).json()["content"]] == ["test_a"]
    assert refused(api.get("item"))[:2] == (400, 40016)


def test_lists_compare_numbers_and_instants(api: Api) -> None:
    """gt, gte, lt, lte and ex work on what has an order; text that is none is refused."""
    for at in (0, 10, 20):
        api.launch(at=at)
    api.finish_launch(api.portal.launches[0].uuid, at=30)
    counts = {
        ("filter.gt.number", "1"): 2,
        ("filter.lte.number", "2"): 2,
        ("filter.lt.startTime", str(START_MS + 10)): 1,
        ("filter.gte.startTime", "2026-11-18T11:06:40.010Z"): 2,
        ("filter.ex.endTime", "true"): 1,
        ("filter.gt.endTime", "0"): 1,
        ("filter.in.number", "1, 3"): 2,
        ("filter.ne.hasRetries", "true"): 3,
    }
    for (name, value), count in counts.items():
        assert api.get("launch", **{name: value}).json()["page"]["totalElements"] == count, name
    assert refused(api.get("launch", **{"filter.gt.startTime": "soon"}))[:2] == (400, 40011)
    assert refused(api.get("log", **{"filter.gte.level": "LOUD"}))[:2] == (400, 40011)
    newest = api.get("launch", **{"page.sort": "number,desc"}).json()["content"]
    assert [launch["number"] for launch in newest] == [3, 2, 1]
