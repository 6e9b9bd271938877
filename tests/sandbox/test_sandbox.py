"""The sandbox as a whole: servers, ports, snapshots, pages."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
import requests

from testbus_sandbox import CannotListenError, NotRunningError, Sandbox, SlackServer, UnknownServerError, serve
from testbus_sandbox.html import span
from tests.sandbox.api import TIMEOUT_S, Api, refused


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_each_reportportal_has_its_own_store_and_key(sandbox: Sandbox) -> None:
    """What one server takes is not on the other, and its key opens only itself."""
    first, second = sandbox.reportportals
    with Api(first) as api:
        api.launch()
        assert (len(first.launches), len(second.launches)) == (1, 0)
        answer = api.session.get(f"{second.url}/api/v1/demo/settings", timeout=TIMEOUT_S)
        assert answer.status_code == 401


def test_everything_listens_on_loopback_only(sandbox: Sandbox) -> None:
    """Every address is 127.0.0.1."""
    urls = [*(portal.url for portal in sandbox.reportportals), sandbox.slack.url, sandbox.slack.webhook("ci")]
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


def test_ports_may_be_fixed() -> None:
    """The first server has the port, and a second sandbox cannot have it too."""
    port = free_port()
    with Sandbox(port=port, slack=False) as running:
        assert running.reportportal("a").url == f"http://127.0.0.1:{port}"
        with pytest.raises(CannotListenError, match="pass port=0"), Sandbox(port=port):
            pass
        assert requests.get(f"{running.reportportal('a').url}/api/info", timeout=TIMEOUT_S).ok


def test_unknown_servers_are_named() -> None:
    """A wrong name says which there are; a sandbox that does not run says so."""
    idle = Sandbox()
    for ask in (lambda: idle.reportportal("a"), lambda: idle.slack):
        with pytest.raises(NotRunningError, match="with Sandbox"):
            ask()
    with Sandbox(slack=False) as running:
        with pytest.raises(UnknownServerError, match="only a"):
            running.reportportal("z")
        with pytest.raises(UnknownServerError, match="no Slack"):
            _ = running.slack
    with Sandbox(reportportals=()) as running, pytest.raises(UnknownServerError, match="no channel"):
        running.slack.channel("nowhere")


def test_what_arrived_can_be_read_after_the_end() -> None:
    """A stopped sandbox keeps its launches and messages."""
    with Sandbox() as running, Api(running.reportportal("a")) as api:
        api.launch()
        requests.post(running.slack.webhook("ci"), json={"text": "x"}, timeout=TIMEOUT_S)
    assert len(running.reportportal("a").launches) == len(running.slack.messages) == 1


def test_a_snapshot_is_made_only_after_changes(api: Api) -> None:
    """Polling an idle server costs nothing: it is the same object."""
    launch = api.launch()
    before = api.portal.launches
    api.get(f"launch/uuid/{launch}")
    assert api.portal.launches is before
    item = api.item(launch)
    assert before[0].items == ()
    assert api.shown().named("test_a").uuid == item
    with pytest.raises(KeyError):
        api.shown().named("test_b")


def test_totals_count_without_a_snapshot(api: Api) -> None:
    """Launches, items, finished items and logs."""
    launch = api.launch()
    first, _ = api.item(launch), api.item(launch)
    api.finish_item(launch, first)
    api.logs({"launchUuid": launch, "time": 0})
    totals = api.portal.totals
    assert (totals.launches, totals.items, totals.finished, totals.logs) == (1, 2, 1, 1)


def test_serve_runs_until_it_is_stopped() -> None:
    """It calls back when it listens, and ends with the event."""
    ready, stop, seen = Event(), Event(), []

    def on_ready(running: Sandbox) -> None:
        seen.append(running.reportportal("a").url)
        ready.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serve, Sandbox(), on_ready=on_ready, stop=stop)
        assert ready.wait(10)
        assert requests.get(f"{seen[0]}/api/info", timeout=TIMEOUT_S).ok
        stop.set()
        running.result(10)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{seen[0]}/api/info", timeout=TIMEOUT_S)


def test_the_reportportal_pages_show_and_escape(api: Api) -> None:
    """Launches, items, logs, attributes and hidden errors are there; markup from clients is text."""
    evil = "<script>alert(1)</script>"
    launch = api.launch(name=f"nightly {evil}", attributes=[{"key": "branch", "value": evil}], description=evil)
    suite = api.item(launch, type="suite", name=f"pkg {evil}")
    first = api.item(launch, suite, codeRef=evil, parameters=[{"key": "p", "value": evil}])
    api.finish_item(launch, first, "failed", issue={"issueType": "pb001", "comment": evil})
    api.item(launch, suite, codeRef=evil, parameters=[{"key": "p", "value": evil}], retry=True)
    file = {"name": f"{evil}.txt"}
    entry = {"launchUuid": launch, "itemUuid": suite, "time": 0, "level": "ERROR", "message": evil, "file": file}
    api.logs(entry, {"launchUuid": launch, "time": 0, "message": "of the launch"}, files=((file["name"], b"", "a/b"),))
    shot = {"launchUuid": launch, "itemUuid": first, "time": 0, "message": "screen", "file": {"name": f"{evil}.png"}}
    api.logs(shot, files=((f"{evil}.png", b"\x89PNG", "image/png"),))
    api.start_item("nowhere", uuid=evil, version="v2")
    api.finish_launch(launch)
    front = requests.get(f"{api.portal.url}/", timeout=TIMEOUT_S)
    assert front.url == api.portal.page
    page = requests.get(f"{api.portal.page}launches/1", timeout=TIMEOUT_S)
    assert page.headers["Content-Type"].startswith("text/html")
    for text in (front.text, page.text):
        assert "<script" not in text
        assert "nightly &lt;script&gt;" in text
    assert "Errors that v2 did not tell" in front.text
    for part in ("pkg &lt;script&gt;", "pb001", "of the launch", "Earlier attempts", "2 attempts", "INTERRUPTED"):
        assert part in page.text
    assert '<img class="shot" src="../data/3"' in page.text
    assert requests.get(f"{api.portal.page}data/3", timeout=TIMEOUT_S).content == b"\x89PNG"
    assert requests.get(f"{api.portal.page}launches/9", timeout=TIMEOUT_S).status_code == 404


def test_the_slack_page_shows_and_escapes(slack: SlackServer) -> None:
    """Text, blocks, threads and metadata are there; markup from clients is text."""
    evil = "<script>alert(1)</script>"
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": f"Run {evil} :white_check_mark:"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*bold* `{evil}` <https://ci/1|open> {evil}"}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "_soft_"}]},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Look"}}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "> quoted"}]},
        {"type": "divider"},
    ]
    headers = {"Authorization": f"Bearer {slack.token}"}
    metadata = {"event_type": "run", "event_payload": {"x": evil}}
    body = {"channel": "ci", "text": evil, "blocks": blocks, "metadata": metadata}
    first = requests.post(f"{slack.url}chat.postMessage", json=body, headers=headers, timeout=TIMEOUT_S).json()
    reply = {"channel": "ci", "text": f"reply {evil} ~gone~", "thread_ts": first["ts"]}
    requests.post(f"{slack.url}chat.postMessage", json=reply, headers=headers, timeout=TIMEOUT_S)
    page = requests.get(slack.page, timeout=TIMEOUT_S).text
    assert "<script" not in page
    for part in ("Run &lt;script&gt;", "✅", "<b>bold</b>", '<a href="https://ci/1"', "<s>gone</s>", "metadata run"):
        assert part in page
    assert "No message yet" in requests.get(f"{slack.page}alerts", timeout=TIMEOUT_S).text
    assert requests.get(f"{slack.page}nowhere", timeout=TIMEOUT_S).status_code == 404


def test_the_slack_page_shows_what_else_slack_takes(slack: SlackServer) -> None:
    """Rich text, Markdown, pictures, attachments, unknown emoji, mentions and an edit are shown, if plainly."""
    words = [{"type": "rich_text_section", "elements": [{"type": "text", "text": "rich words"}]}]
    blocks = [
        {"type": "rich_text", "elements": words},
        {"type": "markdown", "text": "# *as it is*"},
        {"type": "image", "image_url": "https://ci/1.png", "alt_text": "a chart"},
        {"type": "section", "text": {"type": "mrkdwn", "text": "<!here> <mailto:a@b|mail> :unknown:\n```if a < b```"}},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "no link"}}]},
        {"type": "table", "rows": []},
    ]
    attachments = [{"text": "old *style*", "blocks": [{"type": "divider"}]}]
    headers = {"Authorization": f"Bearer {slack.token}"}
    body = {"channel": slack.channel("ci").id, "text": "x", "blocks": blocks, "attachments": attachments}
    sent = requests.post(f"{slack.url}chat.postMessage", json=body, headers=headers, timeout=TIMEOUT_S).json()
    requests.post(f"{slack.url}chat.update", json=body | {"ts": sent["ts"]}, headers=headers, timeout=TIMEOUT_S)
    page = requests.get(f"{slack.url.removesuffix('api/')}", timeout=TIMEOUT_S).text
    for part in ("rich words", "# *as it is*", "[a chart]", "<b>!here</b>", ">mail</a>", ":unknown:", "if a &lt; b"):
        assert part in page
    for part in ("old <b>style</b>", "no link", "[table]", "edited 1x"):
        assert part in page


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.25, "250 ms"), (12.34, "12.3 s"), (192, "3 min 12 s"), (7500, "2 h 5 min")]
)
def test_durations_are_shown_for_people(seconds: float, shown: str) -> None:
    """Each size has its unit."""
    assert span(timedelta(seconds=seconds)) == shown


def test_the_pages_are_not_part_of_the_api(api: Api) -> None:
    """A project named like a page is still another project."""
    answer = api.session.get(f"{api.portal.url}/api/v1/ui/settings", timeout=TIMEOUT_S)
    assert refused(answer)[:2] == (403, 4003)
