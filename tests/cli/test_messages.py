"""What goes wrong is one line that begins with `testbus:`, names what is wrong in the user's own words, and exits 2."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

import testbus as api
from harness.support import require_localhost
from testbus.main import run_command
from testbus_consumers import registry, settings
from testbus_consumers.embedded import EmbeddedBus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_sandbox import Sandbox

    Call = Callable[..., tuple[int, str, str]]

#: Commands that need the embedded folder, a broker, or a database.
COMMANDS = (
    ["drain", "--timeout", "1"],
    ["runs"],
    ["show", "r1"],
    ["events", "--run", "r1"],
    ["trace", "r1"],
    ["status"],
    ["verdict", "r1", "--timeout", "0.1"],
    ["dlq", "list", "gates"],
    ["replay", "gates", "--dry-run"],
    ["pause", "gates"],
    ["worker", "gates"],
    ["broker", "declare"],
    ["broker", "prune"],
    ["db", "upgrade"],
    ["check"],
    ["check", "--runner"],
    ["flush", "--timeout", "0.1"],
    ["finish", "r1", "--shards", "2", "--timeout", "0.1"],
    ["publish", "empty"],
)

NOWHERE = "amqp://guest:hunter2@localhost:1/"

#: What cannot be: variables.
ENVIRONMENTS = {
    "a home that is a file": {"TESTBUS_HOME": "file"},
    "a home that cannot be made": {"TESTBUS_HOME": "/proc/nope"},
    "a home with too long a name": {"TESTBUS_HOME": "a" * 300},
    "a port too high": {"TESTBUS_URL": "amqp://guest:hunter2@localhost:99999/"},
    "a port in letters": {"TESTBUS_URL": "amqp://guest:hunter2@localhost:port/"},
    "half an IPv6 address": {"TESTBUS_URL": "amqp://guest:hunter2@[::1"},
    "another scheme": {"TESTBUS_URL": "http://hunter2@localhost/"},
    "a folder that is a file": {"TESTBUS_URL": "file://{cwd}/file"},
    "a relative folder": {"TESTBUS_URL": "file:file"},
    "no database URL": {"TESTBUS_URL": NOWHERE, "TESTBUS_DATABASE_URL": "hunter2"},
    "a database port in letters": {"TESTBUS_URL": NOWHERE, "TESTBUS_DATABASE_URL": "postgresql://a:hunter2@b:port/c"},
    "a state that cannot be made": {"TESTBUS_URL": NOWHERE, "TESTBUS_DATABASE_URL": "sqlite:////proc/nope"},
    "a database that is away": {"TESTBUS_URL": NOWHERE, "TESTBUS_DATABASE_URL": "postgresql://a:hunter2@localhost:1/c"},
    "a configuration that is a folder": {"TESTBUS_CONFIG": "."},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a file and an empty folder in it, and no CI around."""
    for name in [*os.environ]:
        if name.startswith(("TESTBUS_", "GITHUB_", "GITLAB_", "CI", "JENKINS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TESTBUS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_whatever_cannot_be_is_said_by_every_command(
    name: str, folder: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, no password, nothing twice."""
    for variable, value in ENVIRONMENTS[name].items():
        monkeypatch.setenv(variable, value.replace("{cwd}", str(folder)))
    for command in COMMANDS:
        status, out, err = call(*command)
        assert status in {0, 1, 2, 4}, command
        assert "hunter2" not in out + err, command
        for line in err.splitlines():
            assert line.startswith(("testbus: ", "  ")), (command, line)
            assert line.count("testbus: ") == 1 or line.startswith("  "), (command, line)
        assert status == 0 or out or err, command


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["config", "init", "missing/testbus.yaml"], "testbus: missing/testbus.yaml cannot be written: No such file"),
        (["config", "init", "file/testbus.yaml"], "testbus: file/testbus.yaml cannot be written: Not a directory"),
        (
            ["publish", "x.xml", "--url", "file:///tmp/x", "--project", "A B"],
            "testbus: --project='A B': expected 1 to 64",
        ),
        (["publish", "x.xml", "--url", "htp://x"], "testbus: --url='htp…': expected amqp[s]://"),
        (["publish", "x.xml", "--url", "file:///tmp/x", "--shard", "5/4"], "testbus: --shard='5/4': expected the part"),
        (["publish", "x.xml", "--url", "file:///tmp/x", "--run", "a" * 300], "testbus: --run='"),
        (["publish", "empty", "--url", "file:///tmp/x"], "testbus: empty: no report file is in this folder"),
        (["publish", "x*.xml", "--url", "file:///tmp/x"], "testbus: x*.xml: no file matches it"),
        (["publish", "x.xml", "--url", "file:///tmp/x"], "testbus: x.xml: no such file\n"),
        (["run", "--run-id", "x", "--", "true"], "testbus: No such option '--run-id'"),
        (["run", "--reprot", "x", "--", "true"], "Did you mean one of: '--project', '--report'?"),
        (["verdct"], "testbus: No such command 'verdct'. Did you mean verdict?"),
        (["statsu"], "Did you mean status?"),
        (["xyzzy"], "testbus: No such command 'xyzzy'.\n"),
        (["replay", "requests"], "testbus: requests answers requests: no events come to it"),
        (
            ["dlq", "list", "requests", "--url", "file:///tmp/x"],
            "testbus: requests answers requests: no events come to it",
        ),
        (["worker"], "testbus: which consumers? Name some, or give --all; configured: runs, gates, requests"),
        (["worker", "gates", "--loglevel", "loud"], "'loud' is not one of 'debug'"),
        (["status", "--max-lag", "10m"], "testbus: --max-lag says when --check exits 1: give both"),
        (["check", "--runner", "--embedded"], "give one of them"),
        (["worker", "gates", "--metrics-port", "99999999"], "is not in the range"),
    ],
)
def test_a_message_names_what_was_written(call: Call, command: list[str], told: str) -> None:
    """The option, the file or the command as the user wrote it, what is allowed, and what was meant perhaps."""
    status, _, err = call(*command)
    assert status == 2
    assert told in err


def test_a_variable_is_named_where_the_value_comes_from_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that was left out is not complained of."""
    monkeypatch.setenv("TESTBUS_URL", "http://x")
    assert "testbus: TESTBUS_URL='http…': expected" in call("publish", "x.xml")[2]


@pytest.fixture
def latest(folder: Path) -> str:
    """Give the id of the latest of two local runs."""
    home = f"file://{folder / '.testbus'}"
    for run in ("first", "second"):
        api.publish([api.Result(node_id="a", outcome="passed")], url=home, project="web", run=run)
        with EmbeddedBus(settings.load(), folder / ".testbus") as bus:
            bus.drain(20.0)
    return "second"


def test_the_latest_local_run_is_meant_where_none_is_named(latest: str, call: Call, folder: Path) -> None:
    """By `show` and `report`; and the folder of the pipeline keeps itself out of commits."""
    status, out, _ = call("show", "--json")
    assert (status, json.loads(out)["run"]) == (0, latest)
    assert call("report", "--format", "md", "--stdout")[0] == 0
    assert (folder / ".testbus" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_a_job_is_looked_at_with_its_own_rights(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing with what to do, how many passed, and exit status 1 for a failure."""
    require_localhost()
    status, out, _ = call("check", "--runner")
    assert status == 1
    assert "TESTBUS_URL is not set, so nothing is published" in out
    monkeypatch.setenv("TESTBUS_URL", f"file://{folder}/home")
    (folder / "spool" / "left").mkdir(parents=True)
    status, out, _ = call("check", "--runner")
    assert status == 0
    assert "1 sessions left something" in out
    assert out.splitlines()[-1] == "7 of 7 passed"
    monkeypatch.setenv("TESTBUS_URL", NOWHERE)
    (folder / ".coverage").touch()
    status, out, _ = call("check", "--runner", "--json")
    found = {one["subject"]: one for one in json.loads(out)}
    assert status == 1
    assert found["broker"]["level"] == "failed"
    assert "connection refused" in found["broker"]["detail"]
    assert found["coverage"]["detail"] == "data in .coverage"
    assert found["git"]["level"] == "warning"


def test_faults_and_states_are_data_too(call: Call, folder: Path) -> None:
    """`config validate` and `db upgrade` with --json."""
    (folder / "testbus.yaml").write_text("state: {keep_days: soon}\n", encoding="utf-8")
    status, out, _ = call("config", "validate", "--json")
    assert status == 2
    assert json.loads(out)["faults"] == [{"line": 1, "key": "state.keep_days", "text": "expected a number"}]
    (folder / "testbus.yaml").unlink()
    status, out, _ = call("db", "upgrade", "--json")
    assert json.loads(out) == {"schemas": {"runs": "upgraded", "gates": "upgraded", "requests": "upgraded"}}


def test_the_sandbox_prints_a_configuration_that_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """Variables with the secrets, and a testbus.yaml that names them."""
    from testbus.commands import sandbox  # noqa: PLC0415 only here

    def once(servers: Sandbox, *, on_ready: Callable[[Sandbox], None]) -> None:
        with servers:
            on_ready(servers)

    monkeypatch.setattr(sandbox, "serve", once)
    assert run_command(["sandbox", "--reportportal", "eu"]) == 0
    out = capsys.readouterr().out
    for line in out.splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            monkeypatch.setenv(name, value)
    text = out.partition("<<'END'\n")[2].partition("END\n")[0]
    (folder / "testbus.yaml").write_text(text, encoding="utf-8")
    assert yaml.safe_load(text)["consumers"]["reportportal"]["targets"]["eu"]["api_key"] == {
        "env": "SANDBOX_REPORTPORTAL_EU"
    }
    running = {one.label for one in registry.instances(settings.load())}
    assert {"reportportal/eu", "slack", "jira"} <= running


def test_a_shell_completes_commands_and_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the documentation says it is switched on."""
    for words, number, told in (("testbus verd", 1, "verdict"), ("testbus status --che", 2, "--check")):
        monkeypatch.setenv("_TESTBUS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(number))
        with contextlib.suppress(SystemExit):
            run_command([])
        assert told in capsys.readouterr().out
