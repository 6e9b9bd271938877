"""No secret of the configuration is ever shown: whatever command runs, whatever goes wrong, wherever it is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Testbus = Callable[..., subprocess.CompletedProcess[str]]

#: In every secret, so that any of them is found wherever it is shown.
MARK = "Hunter2Marked"

#: Variables with secrets: nobody listens at these places, or believes these keys.
SECRETS = {
    "BROKER": f"amqp://someone:{MARK}@127.0.0.1:1/ci",
    "DATABASE": f"postgresql://someone:{MARK}@127.0.0.1:1/testbus",
    "CACHE": f"redis://:{MARK}@127.0.0.1:1/0",
    "MANAGEMENT": f"http://someone:{MARK}@127.0.0.1:1",
    "KEY": f"{MARK}-reportportal",
    "SLACK": f"{MARK}-slack",
    "JIRA": f"{MARK}-jira",
}

#: One call of every command that could have to do with a secret.
COMMANDS = [
    ["config", "show"],
    ["config", "show", "--json"],
    ["config", "validate"],
    ["check"],
    ["check", "--json"],
    ["check", "--embedded"],
    ["status"],
    ["broker", "declare"],
    ["broker", "declare", "--users"],
    ["db", "upgrade"],
    ["worker", "gates"],
    ["runs"],
    ["show", "RUN"],
    ["trace", "RUN"],
    ["events", "--run", "RUN"],
    ["dlq", "list", "gates"],
    ["dlq", "show", "gates"],
    ["dlq", "redrive", "gates"],
    ["replay", "gates", "--dry-run"],
    ["verdict", "RUN", "--timeout", "1"],
    ["finish", "--shards", "2"],
    ["publish", "report.xml", "--timeout", "1"],
    ["flush"],
    ["pause", "gates"],
]


def configuration(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write and return a configuration with every secret setting."""
    told = {
        "broker": {"url": {"env": "BROKER"}, "management": {"env": "MANAGEMENT"}},
        "state": {"url": {"env": "DATABASE"}},
        "redis": {"url": {"env": "CACHE"}},
        "consumers": {
            "reportportal": {
                "targets": {"a": {"endpoint": "http://127.0.0.1:1", "project": "web", "api_key": {"env": "KEY"}}}
            },
            "slack": {"token": {"env": "SLACK"}, "channel": "C0123456789", "base_url": "http://127.0.0.1:1/api/"},
            "jira": {"url": "http://127.0.0.1:1", "user": "me", "token": {"env": "JIRA"}, "project": "WEB"},
        },
    } | changes
    (folder / "testbus.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    return told


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_secret_when_nothing_can_be_reached(
    testbus: Testbus, tmp_path: Path, command: list[str]
) -> None:
    """Everybody is away: the command says so, without the passwords in the addresses."""
    configuration(tmp_path)
    report = '<testsuite tests="1"><testcase classname="a" name="b"/></testsuite>'
    (tmp_path / "report.xml").write_text(report, encoding="utf-8")
    done = testbus(*command, TESTBUS_URL=SECRETS["BROKER"], **SECRETS)
    assert MARK not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value", [f"{MARK}", f"://{MARK}:{MARK}@[::1", f"ftp://u:{MARK}@h:no-port/x", f"{MARK}\n{MARK}"]
)
def test_a_secret_that_cannot_be_used_is_not_shown_either(
    testbus: Testbus, tmp_path: Path, name: str, value: str
) -> None:
    """A password in the place of an address, an address cut in two: the message names the setting, not its value."""
    configuration(tmp_path)
    done = testbus("check", **{**SECRETS, name: value, "TESTBUS_URL": value if name == "BROKER" else SECRETS["BROKER"]})
    assert done.returncode != 0
    assert MARK not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_secret_in_the_file_is_refused_and_not_repeated(testbus: Testbus, tmp_path: Path) -> None:
    """Somebody writes the secret where the reference belongs: refused, without showing it to the CI's log."""
    told = configuration(tmp_path)
    told["broker"]["url"] = SECRETS["BROKER"]
    told["consumers"]["slack"]["token"] = SECRETS["SLACK"]
    (tmp_path / "testbus.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    for command in (["config", "validate"], ["config", "show"], ["check"]):
        done = testbus(*command, **SECRETS)
        assert done.returncode != 0
        assert MARK not in done.stdout + done.stderr


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give the servers."""
    with Sandbox(jira=True, jira_projects=("WEB",)) as running:
        yield running


def files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder."""
    yield from (path for path in folder.rglob("*") if path.is_file())


def test_nothing_of_a_run_holds_a_secret_and_nobody_else_can_read_it(
    testbus: Testbus, tmp_path: Path, sandbox: Sandbox
) -> None:
    """Targets refuse their keys, a test prints the environment: no log, row, ledger, dead letter or report has it."""
    portal = sandbox.reportportal("a")
    targets = {"a": {"endpoint": portal.url, "project": portal.project, "api_key": {"env": "KEY"}}}
    jira = {"url": sandbox.jira.url, "user": "me", "token": {"env": "JIRA"}, "project": "WEB", "branches": ["*"]}
    slack = {"token": {"env": "SLACK"}, "channel": sandbox.slack.channel("ci").id, "base_url": sandbox.slack.url}
    consumers = {"reportportal": {"targets": targets}, "slack": slack, "jira": jira}
    configuration(tmp_path, state={}, redis={}, consumers=consumers)
    (tmp_path / "test_it.py").write_text(
        "import os\ndef test_it():\n    print(dict(os.environ))\n"
        "    password = os.environ['BROKER']\n    assert password == os.environ['JIRA']\n",
        encoding="utf-8",
    )
    secrets = {f"{name}_TOKEN": value for name, value in SECRETS.items()} | SECRETS
    secrets["CI_JOB"] = "plain"
    for name in ("KEY", "SLACK", "JIRA"):
        # A test that prints its environment shows these under names that tell nothing.
        secrets[name] = f"glpat-{MARK}12345678901234"
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = testbus("run", "--drain-timeout", "5", "--", *run, TESTBUS_RUN_ID="r", **secrets)
    shown = [done.stderr]
    for command in (
        ["trace", "r"],
        ["show", "r"],
        ["dlq", "list", "jira"],
        ["dlq", "show", "jira"],
        ["runs"],
        ["status"],
    ):
        again = testbus(*command, **secrets)
        shown += [again.stdout, again.stderr]
    shown.append(testbus("report", "r", "--html", "report.html", **secrets).stderr)
    assert all(MARK not in text for text in shown)
    home = tmp_path / ".testbus"
    kept = [*files(home), *(path for path in tmp_path.glob("report.html"))]
    assert len(kept) > 5
    assert [path for path in kept if MARK.encode() in path.read_bytes()] == []
    assert [path for path in files(home) if path.stat().st_mode & 0o077] == []
    assert [path for path in home.rglob("*") if path.is_dir() and path.stat().st_mode & 0o022] == []
