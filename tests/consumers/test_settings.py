"""Configuration: whatever is wrong is said with the file, the key and what is allowed there, and never with a value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbus_consumers import registry, settings
from testbus_consumers.errors import SecretError, SettingsError
from testbus_consumers.settings import Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str | bytes], Path]

#: What `broker` may hold.
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
    assert all(line.startswith(f"{path}: ") for line in message.splitlines())
    return message.replace(f"{path}: ", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # unknown keys, at every depth
        ("brokr: {}", "brokr: unknown key; allowed here: broker, consumers, coverage, redis, state"),
        ("broker: {urll: x}", f"broker.urll: unknown key; allowed here: {BROKER_KEYS}"),
        ("broker: {url: {env: A, vault: b}}", "broker.url.vault: unknown key; allowed here: env, file"),
        ("state: {path: x}", "state.path: unknown key; allowed here: keep_days, url"),
        ("consumers: {gates: {rulez: []}}", "consumers.gates.rulez: unknown key; allowed here: coverage, rules"),
        (
            "consumers: {gates: {rules: [{rule: pass_rate}, {rule: coverage, minimum: 80, maximum: 90}]}}",
            "consumers.gates.rules.1.maximum: unknown key; allowed here: branches, minimum, name, paths, ",
        ),
        # unknown names
        ("consumers: {gate: {}}", "consumers.gate: no consumer 'gate' is installed; there are: gates, "),
        ("consumers: {gates: {rules: [{rule: speed}]}}", "does not match any of the expected tags: 'pass_rate', "),
        # wrong types and values
        ("[broker]", "the top: expected a mapping with the keys: broker, consumers, coverage, redis, state"),
        ("broker: yes", f"broker: expected a mapping with the keys: {BROKER_KEYS}"),
        (f"broker: {{url: 'amqp://me:{PASSWORD}@host'}}", "broker.url: expected a mapping with the keys: env, file"),
        (f"broker: {{allow_plaintext: {PASSWORD}}}", "broker.allow_plaintext: Input should be a valid boolean"),
        ("broker: {delay_steps: []}", "broker.delay_steps: Tuple should have at least 1 item"),
        ("broker: {delay_steps: [a]}", "broker.delay_steps.0: Input should be a valid integer"),
        ("broker: {delay_steps: [0, 5]}", "broker.delay_steps.0: Input should be greater than 0"),
        ("broker: {delay_steps: [30, 5]}", "broker: delay_steps must ascend"),
        ("state: {url: {}}", "state.url: give exactly one of env (a variable's name) and file (a path)"),
        ("state: {url: {env: A, file: b}}", "state.url: give exactly one of env (a variable's name) and file (a path)"),
        ("consumers: [gates]", "consumers: expected a mapping"),
        ("consumers: {gates: 3}", "consumers.gates: expected a mapping"),
        (
            "consumers: {gates: {rules: [{rule: coverage, minimum: 101}]}}",
            "consumers.gates.rules.0.minimum: Input should be less than or equal to 100",
        ),
        ("consumers: {runs: {deadline_s: 0}}", "consumers.runs.deadline_s: Input should be greater than 0"),
        ("consumers: {reportportal: {}}", "consumers.reportportal.targets: Field required"),
    ],
)
def test_a_fault_is_named_with_its_key_and_what_is_allowed(write: Write, text: str, told: str) -> None:
    """The path is the one that stands in the file."""
    assert told in refused(write(text))


def test_every_fault_is_named_at_once(write: Write) -> None:
    """Nobody has to correct and try again for each of them."""
    message = refused(write("brokr: {}\nstate: {path: x}\nbroker: {delay_steps: [a]}"))
    assert [line.partition(":")[0] for line in message.splitlines()] == ["broker.delay_steps.0", "state.path", "brokr"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"broker: {{url: amqp://me:{PASSWORD}@host: [", "not YAML: "),
        (f"broker:\n  url: amqp://me:{PASSWORD}@h: x\n", "not YAML: mapping values are not allowed here at line 2"),
        ("a: \t b", "not YAML: found character '\\t' that cannot start any token at line 1, column 4"),
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
    assert [one.label for one in registry.instances(settings.load())] == ["runs", "gates"]


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
