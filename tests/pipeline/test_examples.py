"""The examples publish what they say: through a real broker, held to the JSON Schemas, and complete for `runs`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from testbus_consumers.runs import CONSUMER
from testbus_consumers.testing import ConsumerHarness
from testbus_schemas import ResultsRecorded, decode
from testbus_schemas.codec import inflate
from testbus_schemas.json_schema import DIRECTORY
from tests.pipeline.brokers import subscribed, taken

if TYPE_CHECKING:
    from testbus_schemas import Event, EventData

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(command: list[str], folder: Path, url: str) -> str:
    """Run an example, and return what it wrote."""
    own = {"TESTBUS_URL": url, "TESTBUS_PROJECT": "shop", "TESTBUS_RUN_ID": "example-1"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TESTBUS_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | own | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checked(url: str, queue: str) -> list[Event[EventData]]:
    """Return the events in a queue; every one satisfies its JSON Schema and is where its routing key says."""
    events = []
    for message in taken(url, queue):
        event = decode(message.body, message.content_encoding)
        schema = json.loads((DIRECTORY / f"{event.name}.json").read_text(encoding="utf-8"))
        raw = json.loads(inflate(message.body, message.content_encoding))
        assert list(Draft202012Validator(schema).iter_errors(raw)) == []
        assert (message.routing_key, message.message_id) == (event.routing_key, event.id)
        events.append(event)
    return events


def assert_complete(events: list[Event[EventData]], folder: Path, outcomes: dict[str, str]) -> None:
    """Check that the events are a complete run with these outcomes."""
    found = [one for event in events if isinstance(event.data, ResultsRecorded) for one in event.data.results]
    assert {one.node_id: str(one.outcome) for one in found} == outcomes
    with ConsumerHarness(CONSUMER, folder) as runs:
        runs.deliver(*events)
        assert [event.name for event in runs.emitted] == ["run.completed"]


def test_the_shell_example(amqp_url: str, tmp_path: Path) -> None:
    """JUnit XML by hand, and `testbus publish`; its failing test has what the command printed."""
    queue = subscribed(amqp_url, "*.*.shop").queue
    written = run(["sh", str(EXAMPLES / "shell" / "publish.sh")], tmp_path, amqp_url)
    assert "junit.xml: junit, 3 results (1 failed, 2 passed)" in written
    outcomes = {
        "smoke::the root is a folder": "passed",
        "smoke::numbers are equal": "passed",
        "smoke::a file that is not there": "failed",
    }
    assert_complete(checked(amqp_url, queue), tmp_path, outcomes)


@pytest.mark.timeout(400)
def test_the_javascript_example(amqp_url: str, tmp_path: Path) -> None:
    """A plain AMQP client; nothing of testbus is at hand where it runs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not in PATH: install Node 18 or newer")
    for name in ("package.json", "publish.js"):
        shutil.copy(EXAMPLES / "javascript" / name, tmp_path)
    installed = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if installed.returncode:
        pytest.skip(f"npm could not install amqplib (no registry within reach?): {installed.stderr.strip()[-200:]}")
    queue = subscribed(amqp_url, "*.*.shop").queue
    assert "2 results in 3 events sent" in run(["node", "publish.js"], tmp_path, amqp_url)
    assert_complete(checked(amqp_url, queue), tmp_path, {"cart > adds": "passed", "cart > totals": "failed"})
