"""Configuration: whatever is wrong is said with the file, the key and what is allowed there, and never with a value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbus_consumers import registry, settings
from testbus_consumers.errors import SecretError, SettingsError
from testbus_consumers.settings import Secret, Section, Settings
from testbus_schemas import RunContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[[str | bytes], Path]

#: What `broker` may hold.
TOP_KEYS = "base_branches, broker, celery, components, consumers, coverage, overrides, redis, state"
BROKER_KEYS = "allow_plaintext, delay_steps, delivery_limit, management, url"

#: What must never be shown.
PASSWORD = "hunter2"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes the configuration, in a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("TESTBUS_CONFIG", "TESTBUS_HOME", "TESTBUS_URL", "TESTBUS_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def written(text: str | bytes) -> Path:
        path = Path("testbus.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def refused(path: Path) -> str:
    """Return what is said of a configuration that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        registry.instances(settings.load(path))
    message = str(caught.value)
    assert PASSWORD not in message
    assert all(re.match(rf"{path}:(\d+:)? ", line) for line in message.splitlines()), message
    return re.sub(rf"^{path}:(\d+:)? ", "", message, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # unknown keys, at every depth
        ("brokr: {}", f"brokr: unknown key; allowed here: {TOP_KEYS}"),
        ("broker: {urll: x}", f"broker.urll: unknown key; allowed here: {BROKER_KEYS}"),
        ("broker: {url: {env: A, vault: b}}", "broker.url.vault: unknown key; allowed here: env, file"),
        (
            "state: {path: x}",
            "state.path: unknown key; allowed here: attachments_mb_per_run, keep_bodies_days, keep_days, url",
        ),
        ("consumers: {gates: {rulez: []}}", "consumers.gates.rulez: unknown key; allowed here: coverage, rules"),
        (
            "consumers: {gates: {rules: [{rule: pass_rate}, {rule: coverage, minimum: 80, maximum: 90}]}}",
            "consumers.gates.rules.1.maximum: unknown key; allowed here: branches, component, minimum, name, paths, ",
        ),
        # unknown names
        ("consumers: {gate: {}}", "consumers.gate: no consumer 'gate' is installed; there are: gates, "),
        (
            "consumers: {gates: {rules: [{rule: speed}]}}",
            "rules.0.rule: expected one of: pass_rate, failures, tests",
        ),
        # wrong types and values
        ("[broker]", f"the top: expected a mapping with the keys: {TOP_KEYS}"),
        ("broker: yes", f"broker: expected a mapping with the keys: {BROKER_KEYS}"),
        (f"broker: {{url: 'amqp://me:{PASSWORD}@host'}}", "broker.url: expected a mapping with the keys: env, file"),
        (f"broker: {{allow_plaintext: {PASSWORD}}}", "broker.allow_plaintext: expected true or false"),
        ("broker: {delay_steps: []}", "broker.delay_steps: needs at least 1 entry"),
        ("broker: {delay_steps: [a]}", "broker.delay_steps.0: expected a whole number"),
        ("broker: {delay_steps: [0, 5]}", "broker.delay_steps.0: must be more than 0"),
        ("broker: {delay_steps: [30, 5]}", "broker: delay_steps must ascend"),
        ("state: {url: {}}", "state.url: give exactly one of env (a variable's name) and file (a path)"),
        ("state: {url: {env: A, file: b}}", "state.url: give exactly one of env (a variable's name) and file (a path)"),
        ("consumers: [gates]", "consumers: expected a mapping"),
        ("consumers: {gates: 3}", "consumers.gates: expected a mapping"),
        (
            "consumers: {gates: {rules: [{rule: coverage, minimum: 101}]}}",
            "consumers.gates.rules.0.minimum: must be at most 100",
        ),
        ("consumers: {runs: {deadline_s: 0}}", "consumers.runs.deadline_s: must be more than 0"),
        ("consumers: {reportportal: {}}", "consumers.reportportal.targets: is missing"),
    ],
)
def test_a_fault_is_named_with_its_key_and_what_is_allowed(write: Write, text: str, told: str) -> None:
    """The path is the one that stands in the file."""
    assert told in refused(write(text))


def test_every_fault_is_named_at_once(write: Write) -> None:
    """Nobody has to correct and try again for each of them; they come in the order of the file."""
    message = refused(write("brokr: {}\nstate: {path: x}\nbroker: {delay_steps: [a]}"))
    assert [line.partition(":")[0] for line in message.splitlines()] == ["brokr", "state.path", "broker.delay_steps.0"]


BROKEN = """\
brokr: {}
broker:
  delay_steps: [5, x]
  delay_steps: [a]
consumers:
  runs: {deadline_s: 0}
  gates:
    rules:
      - {rule: coverage, minimum: 80}
      - rule: coverage
        minimum: 90
  jira:
    url: https://acme.example.com
    token: {env: T}
    project: shop
    projects: web
  slack:
    token: {env: T}
    channel: "#ci"
  gate: {}
  reportportal:
    targets:
      Eu: {endpoint: https://rp.example.com, project: p, api_key: {env: K}, mode: best}
state:
  keep_days: soon
consumers: {}
"""


def test_every_fault_of_every_section_is_named_with_its_line(write: Write) -> None:
    """Of the top and of each consumer, keys that stand twice and rules that cannot be told apart included."""
    path = write(BROKEN.replace("consumers: {}\n", ""))
    _, faults = registry.validated(path)
    assert [(fault.line, fault.key) for fault in faults] == [
        (1, "brokr"),
        (4, "broker.delay_steps"),
        (4, "broker.delay_steps.0"),
        (6, "consumers.runs.deadline_s"),
        (8, "consumers.gates.rules"),
        (15, "consumers.jira.project.*"),
        (16, "consumers.jira.projects"),
        (19, "consumers.slack.channel"),
        (20, "consumers.gate"),
        (23, "consumers.reportportal.targets.Eu.mode"),
        (25, "state.keep_days"),
    ]
    text = "\n".join(map(str, faults))
    for told in (
        "testbus.yaml:4: broker.delay_steps: stands here a second time, first on line 3",
        "0 and 1 are both called coverage",
        "expected one of: mirror, failover, balance",
        "expected the key of a project in Jira, as SHOP",
        "state.keep_days: expected a number",
    ):
        assert told in text


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("broker: {}\nstate: {}\nbroker: {}", 3, "broker"),
        ("consumers:\n  gates:\n    rules: []\n    'rules': []", 4, "consumers.gates.rules"),
        (
            "consumers:\n  gates: {rules: [{rule: tests, minimum: 1,\n  minimum: 2}]}",
            3,
            "consumers.gates.rules.0.minimum",
        ),
    ],
)
def test_a_key_that_stands_twice_is_a_fault_for_everybody(write: Write, text: str, line: int, key: str) -> None:
    """YAML would take the last one in silence."""
    with pytest.raises(SettingsError) as caught:
        settings.load(write(text))
    assert (caught.value.faults[0].line, caught.value.faults[0].key) == (line, key)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        # Merged and aliased mappings are no second ones, and what stands in itself is not followed for ever.
        ("x: &a {rule: tests, minimum: 1}\nconsumers: {gates: {rules: [{<<: *a, minimum: 2}]}}", ["x"]),
        ("broker: &b {url: *b}", ["broker.url.url"]),
        ("consumers: {gates: {rules: [{rule: pass_rate}, {rule: pass_rate, name: strict}]}}", []),
        ("consumers: {gates: {rules: [{rule: tests, minimum: 1, name: a}, {rule: failures, name: a}]}}", []),
        (
            "consumers: {gates: {rules: [{rule: tests, minimum: 1, name: a}, {rule: tests, minimum: 2, name: a}]}}",
            ["consumers.gates.rules"],
        ),
    ],
)
def test_what_is_no_second_one(write: Write, text: str, faults: list[str]) -> None:
    """Rules of one kind are told apart by their names."""
    assert [fault.key for fault in registry.validated(write(text))[1]] == faults


def _garbage(model: type[Section]) -> Iterator[tuple[str, object]]:
    for name in model.model_fields:
        for value in ({}, [], None, -1, 1.5, "x", "", True, 10**30, ["x", 3], {"x": 3}, [None], {"y": None}):
            yield name, value


@pytest.mark.parametrize("consumer", ["broker", "state", "redis", "celery", *sorted(registry.BUILT_IN)])
def test_no_fault_is_told_in_the_words_of_a_library(write: Write, consumer: str) -> None:
    """Whatever stands at whatever key, it is said what is allowed there."""
    write("")
    if consumer in registry.BUILT_IN:
        model = registry.load_consumer(consumer).settings
    else:
        model = type(getattr(Settings(), consumer))
    for name, value in _garbage(model):
        try:
            settings.parse(model, {name: value}, "f")
        except SettingsError as error:
            text = str(error)
            for word in ("should", "Field ", "Value error", "valid ", "Tuple", "tag ", "parsing", "[type"):
                assert word not in text, text


def test_every_projects_and_branches_key_takes_globs(write: Write) -> None:
    """Alike for each consumer that has them."""
    url = "{url: https://j.example.com, token: {env: T}, project: {web: WEB, 'shop-*': SHOP, '*': OPS}, "
    path = write(f"consumers: {{jira: {url} projects: ['shop-*', web], branches: ['release/*']}}}}")
    (jira,) = registry.find(settings.load(path), "jira")
    context = {"run": "r", "started_at": "2026-01-01T00:00:00Z", "branch": "release/1"}
    found = {}
    for project in ("shop-api", "web", "other"):
        run = RunContext.model_validate({**context, "project": project})
        found[project] = (jira.settings.leaves_out(run) is None, jira.settings.project_of(run))
    assert found == {"shop-api": (True, "SHOP"), "web": (True, "WEB"), "other": (False, "OPS")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"broker: {{url: amqp://me:{PASSWORD}@host: [", "not YAML: "),
        (f"broker:\n  url: amqp://me:{PASSWORD}@h: x\n", "not YAML: mapping values are not allowed here at column"),
        ("a: \t b", "not YAML: found character '\\t' that cannot start any token at column 4"),
        ("a: !!python/object:os.system {}", "not YAML: could not determine a constructor"),
        (b"\0", "not YAML: special characters are not allowed"),
        (b"broker: \xff", "not UTF-8 at byte 8"),
    ],
)
def test_a_file_that_is_no_yaml_is_named_with_the_place(write: Write, text: str | bytes, told: str) -> None:
    """The line itself is not shown: it may hold a secret in the wrong place."""
    assert told in refused(write(text))


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming a file means that it has to exist."""
    monkeypatch.setenv("TESTBUS_CONFIG", str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsError, match=r"none.yaml: cannot be read: No such file.*testbus config init"):
        settings.load()
    monkeypatch.setenv("TESTBUS_CONFIG", str(tmp_path))
    with pytest.raises(SettingsError, match="Is a directory"):
        settings.load()


def test_without_a_file_the_defaults_hold(write: Write) -> None:
    """`runs` and `gates` run, with one rule; an empty file means the same."""
    assert settings.load() == Settings()
    assert settings.load(write("# nothing yet\n")).model_dump() == Settings().model_dump()
    assert [one.label for one in registry.instances(settings.load())] == ["runs", "gates", "requests"]


def test_a_file_in_the_folder_is_found(write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`testbus.yaml` where one stands, unless TESTBUS_CONFIG names another."""
    write("broker: {allow_plaintext: true}")
    assert settings.load().broker.allow_plaintext
    other = tmp_path / "other.yaml"
    other.write_text("broker: {allow_plaintext: false}")
    monkeypatch.setenv("TESTBUS_CONFIG", str(other))
    assert not settings.load().broker.allow_plaintext


def test_the_environment_is_read_when_it_is_asked_for(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when a module is imported, nor when the file is."""
    loaded = settings.load(write("state: {}"))
    assert loaded.state_url() == f"sqlite:///{Path.cwd() / '.testbus' / 'state'}"
    monkeypatch.setenv("TESTBUS_HOME", "elsewhere")
    assert loaded.state_url() == f"sqlite:///{Path.cwd() / 'elsewhere' / 'state'}"
    monkeypatch.setenv("TESTBUS_DATABASE_URL", "postgresql://db/testbus")
    assert loaded.state_url() == "postgresql://db/testbus"


def test_a_secret_is_read_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a variable, or from a file without the line end that editors add; never shown."""
    monkeypatch.setenv("MY_KEY", PASSWORD)
    file = tmp_path / "key"
    file.write_text(f"{PASSWORD}\n")
    for secret in (Secret(env="MY_KEY"), Secret(file=file)):
        assert secret.reveal() == PASSWORD
        assert PASSWORD not in f"{secret!r} {secret} {secret.model_dump_json()}"


def test_a_secret_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable or its file."""
    monkeypatch.delenv("MY_KEY", raising=False)
    file = tmp_path / "key"
    with pytest.raises(SecretError, match="environment variable MY_KEY is not set"):
        Secret(env="MY_KEY").reveal()
    with pytest.raises(SecretError, match=r"secret file .*key cannot be read: No such file"):
        Secret(file=file).reveal()
    file.write_text("\n")
    with pytest.raises(SecretError, match=r"secret file .*key is empty"):
        Secret(file=file).reveal()
    file.write_bytes(PASSWORD.encode() + b"\xff")
    with pytest.raises(SecretError, match=r"secret file .*key is not UTF-8 at byte 7") as caught:
        Secret(file=file).reveal()
    assert PASSWORD not in str(caught.value)


def test_plain_text_must_not_leave_the_machine() -> None:
    """Unless it is said to be allowed."""
    settings.require_tls("https://rp.example", "k", allowed=False)
    settings.require_tls("http://127.0.0.1:8080", "k", allowed=False)
    settings.require_tls("http://rp.example", "k", allowed=True)
    with pytest.raises(SettingsError, match=r"consumers.x.endpoint: http:// to rp.example"):
        settings.require_tls("HTTP://rp.example", "consumers.x.endpoint", allowed=False)
