"""Configuration: one YAML file, validated; secrets by reference; the environment read when called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from testbus_broker.topology import DELIVERY_LIMIT
from testbus_consumers import settings_faults
from testbus_consumers.errors import SecretError, SettingsError
from testbus_consumers.settings_faults import Fault, Source
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names the configuration file.
CONFIG_VARIABLE: Final = "TESTBUS_CONFIG"

#: Where the configuration is looked for when nothing names it.
DEFAULT_CONFIG: Final = "testbus.yaml"

#: Names the folder of the embedded pipeline.
HOME_VARIABLE: Final = "TESTBUS_HOME"

#: Folder of the embedded pipeline when nothing names one.
DEFAULT_HOME: Final = ".testbus"

#: Names the broker when the configuration does not.
URL_VARIABLE: Final = "TESTBUS_URL"

#: Names the database when the configuration does not.
DATABASE_VARIABLE: Final = "TESTBUS_DATABASE_URL"

#: Process id of the `testbus worker` that a worker ends with; set by it.
PARENT_VARIABLE: Final = "TESTBUS_WORKER_PARENT"

#: Hosts to which nothing has to be encrypted.
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Secret(Section):
    """A reference to a secret: exactly one of the two. The value is read when it is used, and never kept or shown."""

    #: Name of an environment variable.
    env: str | None = None
    #: Path of a file whose stripped content is the value.
    file: Path | None = None

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("give exactly one of env (a variable's name) and file (a path)")
        return self

    def reveal(self) -> str:
        """Return the value. Raises SecretError that names the variable or the file, never the value."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise SecretError(
                    f"the environment variable {self.env} is not set: the configuration takes a secret from it"
                )
            return _one_line(value, f"the environment variable {self.env}")
        assert self.file is not None
        try:
            value = self.file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SecretError(f"the secret file {self.file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SecretError(f"the secret file {self.file} is not UTF-8 at byte {error.start}") from None
        if not value:
            raise SecretError(f"the secret file {self.file} is empty")
        return _one_line(value, f"the secret file {self.file}")


def _one_line(value: str, where: str) -> str:
    """Return a secret that a header or an address can hold; others would show it in their complaint."""
    if not value.isprintable():
        raise SecretError(f"{where} holds more than one line, or what is not printable: write the secret alone")
    return value


class BrokerSettings(Section):
    """How the broker is reached."""

    #: amqp:// or amqps:// URL, with its password; unset: the variable TESTBUS_URL.
    url: Secret = Secret(env=URL_VARIABLE)
    #: Whether amqp:// without TLS may leave this machine.
    allow_plaintext: bool = False
    #: http:// or https:// URL of RabbitMQ's management interface, with an administrator's login; only for
    #: `testbus broker declare --users`. Unset: rabbitmqctl of this machine.
    management: Secret | None = None
    #: Steps of the ladder of delays before a retry, in seconds, ascending.
    delay_steps: tuple[Annotated[int, Field(gt=0)], ...] = Field(default=(5, 30, 120, 600), min_length=1)

    #: Deliveries after which RabbitMQ dead-letters an event by itself; testbus gives up one that ends its worker
    #: process after half as many. A killed worker counts one for everything that it had prefetched.
    delivery_limit: int = Field(default=DELIVERY_LIMIT, ge=4, le=1000)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.delay_steps) != sorted(set(self.delay_steps)):
            raise ValueError("delay_steps must ascend, each step longer than the one before")
        return self


class StateSettings(Section):
    """Where consumers keep their state."""

    #: postgresql://… or sqlite:///FOLDER; unset: TESTBUS_DATABASE_URL, else a folder under TESTBUS_HOME.
    url: Secret | None = None
    #: Days that a run and its events are remembered after the last that was heard of them: at least as long as one may
    #: come again, so the retention of the stream and the longest that a spool may lie before it is flushed.
    keep_days: float = Field(default=28, ge=1)


class RedisSettings(Section):
    """What workers share that may be lost: rate limits."""

    #: redis:// or rediss:// URL, with its password; unset: each worker process keeps rate limits by itself.
    url: Secret | None = None
    #: What every key begins with.
    prefix: str = Field(default="testbus", min_length=1)
    #: Whether redis:// without TLS may leave this machine.
    allow_plaintext: bool = False


class CoverageSettings(Section):
    """Where measured files are in the repository; for what runners have published under other paths."""

    #: Folder where something was measured → folder of the repository that it is; see `PathRules`.
    paths: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)

    @property
    def rules(self) -> PathRules:
        """Return the rules, in their order."""
        return PathRules(self.paths.items())


class CelerySettings(Section):
    """What Celery's own tools may see and do; each worker has a queue more for it."""

    #: Whether workers answer `celery inspect`, `status` and `control`, and Flower.
    remote_control: bool = False
    #: Whether workers tell of every task, as `celery worker -E` does: for Flower and `celery events`. About half the
    #: throughput of events that need little work.
    task_events: bool = False


class Settings(Section):
    """The whole configuration."""

    #: The broker.
    broker: BrokerSettings = BrokerSettings()
    #: The state.
    state: StateSettings = StateSettings()
    #: What workers share.
    redis: RedisSettings = RedisSettings()
    #: Coverage, for every consumer that adds it up.
    coverage: CoverageSettings = CoverageSettings()
    #: Celery's own tools.
    celery: CelerySettings = CelerySettings()
    #: Each consumer's section, validated by the consumer; one that is not named here does not run, except
    #: `runs` and `gates`, which always do.
    consumers: dict[str, dict[str, Any] | None] = Field(default_factory=dict)

    _source: Source = PrivateAttr(default=Source(name="the configuration"))

    @property
    def source(self) -> Source:
        """Return the file that this was read from, and where its keys stand, for messages."""
        return self._source

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a consumer's raw section."""
        return self.consumers.get(name) or {}

    def state_url(self) -> str:
        """Return the state's database URL."""
        if self.state.url is not None:
            return self.state.url.reveal()
        return os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{home() / 'state'}"


def home() -> Path:
    """Return the folder of the embedded pipeline: TESTBUS_HOME, else `.testbus` here."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).absolute()


def config_path() -> Path | None:
    """Return the configuration file: TESTBUS_CONFIG, else `testbus.yaml` here, else None."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return Path(DEFAULT_CONFIG) if Path(DEFAULT_CONFIG).is_file() else None


def load(path: Path | None = None) -> Settings:
    """Return the configuration of a file (default: `config_path()`; without any, the defaults).

    Raises SettingsError that names file, line and key of each fault, and what is allowed there.
    """
    path = path or config_path()
    if path is None:
        return Settings()
    raw, source, faults = read(path)
    try:
        settings = parse(Settings, raw, source)
    except SettingsError as error:
        raise SettingsError(faults=[*faults, *error.faults]) from None
    if faults:
        raise SettingsError(faults=faults)
    settings._source = source  # noqa: SLF001 its own module
    return settings


def read(path: Path) -> tuple[Any, Source, list[Fault]]:
    """Return what stands in a file, where its keys stand, and which stand there twice. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}; `testbus config init` writes one") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None
    try:
        raw, source, faults = settings_faults.read(text, str(path))
    except yaml.YAMLError as error:
        raise SettingsError(faults=[settings_faults.yaml_fault(error, str(path))]) from None
    except (RecursionError, ValueError) as error:
        # A number or date that Python does not take, or a file that is nested without end.
        raise SettingsError(f"{path}: not YAML: {type(error).__name__}") from None
    return ({} if raw is None else raw), source, faults


def parse(model: type[M], raw: object, source: Source | str, under: str = "") -> M:
    """Return raw data, of a file or of something else that has a name, as a model.

    Raises SettingsError that names for each fault its place, the key with its path (below the key `under`), what is
    wrong, and what is allowed there; never a value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        source = Source(name=source) if isinstance(source, str) else source
        path = tuple(under.split(".")) if under else ()
        raise SettingsError(faults=settings_faults.found(error, model, source, path)) from None


def require_tls(url: str, key: str, *, allowed: bool) -> None:
    """Raise SettingsError for a plain-text URL that leaves this machine, unless that is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allowed:
        raise SettingsError(
            f"{key}: http:// to {parts.hostname} would show the key to the network; use https:// or allow_plaintext"
        )
