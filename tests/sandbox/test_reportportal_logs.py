"""Log batches: one answer, one outcome per entry."""

from __future__ import annotations

import json

from tests.sandbox.api import TIMEOUT_S, Api, refused


def test_a_batch_is_201_and_each_entry_has_its_outcome(api: Api) -> None:
    """Good entries get an id, bad ones a message and a stack trace, in the order of the request."""
    launch = api.launch()
    answer = api.logs(
        {"launchUuid": launch, "time": 0, "level": "error", "message": "one", "uuid": "log-1"},
        {"launchUuid": "nowhere", "time": 0, "message": "two"},
        {"launchUuid": launch, "message": "no time"},
        {"launchUuid": launch, "time": 0, "level": "!", "message": "bad level"},
        {"launchUuid": launch, "time": 0, "file": {"name": "missing.txt"}},
        {"launchUuid": launch, "time": 0},
    )
    assert answer.status_code == 201
    outcomes = answer.json()["responses"]
    assert outcomes[0] == {"id": "log-1"}
    assert [set(outcome) for outcome in outcomes[1:5]] == [{"message", "stackTrace"}] * 4
    messages = [outcome["message"] for outcome in outcomes[1:5]]
    assert messages[0] == "ReportPortalException: Launch 'nowhere' not found. Did you use correct Launch ID?"
    assert "in field 'logTime'" in messages[1]
    assert "in field 'level'" in messages[2]
    assert "There is no request part or file with name missing.txt" in messages[3]
    assert [(log.level, log.message) for log in api.shown().logs] == [("ERROR", "one"), ("UNKNOWN", "NULL")]


def test_files_are_matched_by_name(api: Api) -> None:
    """Each entry takes the first file of its name."""
    launch = api.launch()
    item = api.item(launch)
    entries = [
        {"launchUuid": launch, "itemUuid": item, "time": 0, "message": name, "file": {"name": name}}
        for name in ("b.png", "a.txt", "a.txt")
    ]
    files = (("a.txt", b"first", "text/plain"), ("b.png", b"\x89PNG", "image/png"), ("a.txt", b"second", "text/plain"))
    assert api.logs(*entries, files=files).status_code == 201
    found = [log.attachment for log in api.shown_item(item).logs]
    assert [(file.name, file.content_type, file.content) for file in found if file] == [
        ("b.png", "image/png", b"\x89PNG"),
        ("a.txt", "text/plain", b"first"),
        ("a.txt", "text/plain", b"second"),
    ]
    assert api.get("log/1").json()["binaryContent"] == {"id": "1", "contentType": "image/png", "fileName": "b.png"}


def test_what_cannot_be_read_refuses_the_whole_batch(api: Api) -> None:
    """A time that is none, a missing part and a part that is no JSON are errors of the request."""
    launch = api.launch()
    good = {"launchUuid": launch, "time": 0, "message": "good"}
    assert refused(api.logs(good, {**good, "time": "soon"}))[:2] == (400, 4001)
    url = api.url("log")
    other = api.session.post(url, files=[("other", (None, "[]", "application/json"))], timeout=TIMEOUT_S)
    assert refused(other)[2] == "Incorrect Request. Required part 'json_request_part' is not present."
    untyped = api.session.post(url, files=[("json_request_part", (None, json.dumps([good])))], timeout=TIMEOUT_S)
    assert refused(untyped)[:2] == (500, 5000)
    assert api.portal.totals.logs == 0


def test_single_entries_answer_for_themselves(api: Api) -> None:
    """POST /log/entry, and /log with JSON, answer 201 with an id or the error."""
    launch = api.launch()
    entry = {"launchUuid": launch, "time": 0, "message": "alone", "uuid": "log-1"}
    for path in ("log", "log/entry"):
        answer = api.post(path, entry)
        assert (answer.status_code, answer.json()) == (201, {"id": "log-1"})
    assert refused(api.post("log/entry", {**entry, "launchUuid": "nowhere"}))[:2] == (404, 4041)


def test_a_log_is_found_by_uuid_and_listed_by_item(api: Api) -> None:
    """A client can ask whether an entry with a chosen uuid arrived; lists know entries by number and item only."""
    launch = api.launch()
    item = api.item(launch)
    for number, level in enumerate(("INFO", "WARN", "ERROR")):
        api.logs({"launchUuid": launch, "itemUuid": item, "time": number, "level": level, "uuid": f"log-{number}"})
    api.logs({"launchUuid": launch, "time": 0, "uuid": "log-launch"})
    found = api.get("log/uuid/log-1").json()
    assert (found["level"], found["itemId"], found["time"]) == ("WARN", 1, "1970-01-01T00:00:00.001000Z")
    assert refused(api.get("log/uuid/log-9")) == (404, 4044, "Log 'log-9' not found. Did you use correct Log ID?")
    page = api.get("log", **{"filter.eq.item": "1", "filter.gte.level": "WARN"}).json()
    assert [(log["id"], log["itemId"], "uuid" in log) for log in page["content"]] == [(2, 1, False), (3, 1, False)]
    page = api.get("log", **{"filter.in.item": "1,7", "page.size": "2"}).json()
    assert (len(page["content"]), page["page"]["totalElements"]) == (2, 3)
    assert api.get("log", **{"filter.eq.launch": "1"}).json()["content"][0]["launchId"] == 1
    assert refused(api.get("log", **{"filter.eq.item": item}))[:2] == (400, 40011)
