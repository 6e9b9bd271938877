"""Configuration: one YAML file, validated; secrets by reference; the environment read when called."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from testbus_broker.topology import DELIVERY_LIMIT
from testbus_consumers.errors import Fault, SecretError, SettingsError
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Keys from the top of the file to a place in it; of a list the index.
KeyPath = tuple[str, ...]

#: Faults of something that is not a mapping where one belongs.
_NO_MAPPING: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})

#: Kind of fault, as pydantic calls it → what is allowed, from its details.
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is missing",
    "bool_type": lambda _: "expected true or false",
    "bool_parsing": lambda _: "expected true or false",
    "int_type": lambda _: "expected a whole number",
    "int_parsing": lambda _: "expected a whole number",
    "int_parsing_size": lambda _: "expected a smaller number",
    "int_from_float": lambda _: "expected a whole number",
    "float_type": lambda _: "expected a number",
    "float_parsing": lambda _: "expected a number",
    "finite_number": lambda _: "expected a number that is not infinite",
    "string_type": lambda _: "expected text; put quotes around a number, or a word such as yes or off",
    "path_type": lambda _: "expected a path",
    "tuple_type": lambda _: "expected a list",
    "list_type": lambda _: "expected a list",
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "too_short": lambda context: f"needs at least {_entries(context['min_length'])}",
    "too_long": lambda context: f"takes at most {_entries(context['max_length'])}",
    "string_too_short": lambda context: (
        "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']} characters"
    ),
    "string_too_long": lambda context: f"takes at most {context['max_length']} characters",
    "literal_error": lambda context: f"expected one of: {_names(context['expected'])}",
    "enum": lambda context: f"expected one of: {_names(context['expected'])}",
    "union_tag_invalid": lambda context: f"expected one of: {_names(context['expected_tags'])}",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where settings come from, and on which line each key stands."""

    #: The file, or whatever the data come from.
    name: str
    #: Line of each key, from 1.
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def fault(self, path: KeyPath, text: str) -> Fault:
        """Return a fault of a key, or of what stands around it where the key itself is missing."""
        found = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        return Fault(source=self.name, line=found, key=".".join(path) or "the top", text=text)


def parse_yaml(text: str, name: str) -> tuple[Any, Source, list[Fault]]:
    """Return the value of a YAML text, where its keys stand, and the keys that stand there twice; raises YAMLError."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        twice: list[tuple[KeyPath, int, int]] = []
        if node is not None:
            _walk(node, (), lines, twice, ())
        value = None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
    faults = [
        Fault(source=name, line=line, key=".".join(path), text=f"stands here a second time, first on line {first}")
        for path, line, first in twice
    ]
    return value, Source(name=name, lines=lines), faults


def found(error: ValidationError, model: type[BaseModel], source: Source, under: KeyPath) -> list[Fault]:
    """Return what is wrong with a section; `under` is the path of its own key."""
    faults = error.errors(include_url=False, include_input=False)
    places = [fault["loc"] for fault in faults]
    # A list whose only element is wrong is also called too short: the element's own fault says it better.
    return [
        _fault(dict(fault), model, source, under)
        for fault in faults
        if fault["type"] != "too_short" or not any(_is_inside(place, fault["loc"]) for place in places)
    ]


def yaml_fault(error: yaml.YAMLError, name: str) -> Fault:
    """Return what is wrong with a YAML file and where, without the line itself."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    place = f" at column {mark.column + 1}" if mark else ""
    return Fault(source=name, line=mark.line + 1 if mark else None, key="", text=f"not YAML: {problem}{place}")


def _walk(
    node: yaml.Node,
    path: KeyPath,
    lines: dict[KeyPath, int],
    twice: list[tuple[KeyPath, int, int]],
    around: tuple[yaml.Node, ...],
) -> None:
    if any(node is one for one in around):
        # An alias of what it stands in.
        return
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*path, str(index)] = item.start_mark.line + 1
            _walk(item, (*path, str(index)), lines, twice, (*around, node))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[tuple[str, str], int] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        inner, line = (*path, key.value), key.start_mark.line + 1
        if (key.tag, key.value) in seen:
            twice.append((inner, line, seen[key.tag, key.value]))
        seen.setdefault((key.tag, key.value), line)
        lines[inner] = line
        _walk(item, inner, lines, twice, (*around, node))


def _fault(fault: dict[str, Any], model: type[BaseModel], source: Source, under: KeyPath) -> Fault:
    unknown = fault["type"] == "extra_forbidden"
    location = fault["loc"][:-1] if unknown else fault["loc"]
    path, models = _follow(model, location)
    # What is not shown is no key of a section, but comes from the whole configuration.
    own = {name for one in models for name, told in one.model_fields.items() if not told.exclude}
    keys = ", ".join(sorted(own))
    place = (*under, *path, *((str(fault["loc"][-1]),) if unknown else ()))
    details = fault.get("ctx", {})
    if unknown:
        return source.fault(place, f"unknown key; allowed here: {keys or 'none'}")
    if fault["type"] in _NO_MAPPING:
        return source.fault(place, "expected a mapping" + (f" with the keys: {keys}" if keys else ""))
    if fault["type"].startswith("union_tag"):
        place = (*place, details["discriminator"].strip("'"))
    if fault["type"] == "union_tag_not_found":
        tags = sorted({str(tag) for one in models for tag in _tags(one)})
        return source.fault(place, f"is missing; one of: {', '.join(tags)}")
    if fault["type"] in _WORDS:
        return source.fault(place, _WORDS[fault["type"]](details))
    return source.fault(place, fault["msg"].removeprefix("Value error, "))


def _entries(number: int) -> str:
    return f"{number} entr{'y' if number == 1 else 'ies'}"


def _names(quoted: str) -> str:
    """Return names that pydantic lists, `'a', 'b' or 'c'`, with commas alone."""
    return ", ".join(part.strip(" '") for part in quoted.replace("' or '", "', '").split(","))


def _follow(model: type[BaseModel], location: tuple[Any, ...]) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the keys of a location as they stand in the file, and the models that may stand there."""
    path: list[str] = []
    models = [model]
    inside = False
    for part in location:
        tagged = [one for one in models if part in _tags(one)]
        if len(models) > 1 and tagged:
            # Not a key, but which of several models was recognised.
            models = tagged
            continue
        if part == "[key]":
            # The key of a mapping is what is wrong, and stands in the path already.
            continue
        path.append(str(part))
        fields = [one.model_fields[part] for one in models if not inside and part in one.model_fields]
        models = [kind for field in fields for kind in _models(field.annotation)] if fields else models
        # A list's index or a mapping's key leads to the same models; only below it there are fields again.
        inside = bool(fields) and any(get_origin(field.annotation) in {tuple, list, dict} for field in fields)
    return path, models


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _tags(model: type[BaseModel]) -> set[Any]:
    literals = (field.annotation for field in model.model_fields.values() if get_origin(field.annotation) is Literal)
    return {tag for literal in literals for tag in get_args(literal)}


def _is_inside(place: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


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
    #: Steps of the delays before a retry, in seconds, ascending.
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
    #: Days that `runs` keeps events as they came, after the last that was heard of their run: so long it is recomputed.
    keep_bodies_days: float = Field(default=14, ge=1)
    #: MB of attached files that `runs` keeps of one run, as long as events; of those beyond, name and size only.
    attachments_mb_per_run: float = Field(default=8, ge=0)


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


#: Globs of files or tests.
Globs = tuple[Annotated[str, Field(min_length=1)], ...]

#: Globs of branches that others are compared with, and those of a repository that says nothing else.
BaseBranches = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
BASE_BRANCHES: Final = ("main", "master")


class ComponentSettings(Section):
    """A part of the repository; `components.Placing` says what belongs to it."""

    #: Globs of its files.
    paths: Globs = ()
    #: Globs of its tests: one with `::` of their node ids, any other of the files that they are in.
    tests: Globs = ()
    #: Who is asked about it.
    owner: str | None = Field(default=None, min_length=1, max_length=64)
    #: Whether the product stands still without it.
    critical: bool = False


#: Name of a component → what belongs to it; of several that fit, the first.
Components = dict[Annotated[str, Field(min_length=1, max_length=48)], ComponentSettings]


class OverridesSettings(Section):
    """What people may decide against the rules."""

    #: Days that a waiver, a quarantine or a mute may hold.
    max_days: int = Field(default=90, ge=1, le=3650)


class CelerySettings(Section):
    """What Celery's own tools may see and do; each worker has a queue more for it."""

    #: Whether workers answer `celery inspect`, `status` and `control`, and Flower.
    remote_control: bool = False
    #: Whether workers tell of every task, as `celery worker -E` does: for Flower and `celery events`. About half the
    #: throughput of events that need little work.
    task_events: bool = False


class Settings(Section):
    """The whole configuration."""

    broker: BrokerSettings = BrokerSettings()
    state: StateSettings = StateSettings()
    #: What workers share.
    redis: RedisSettings = RedisSettings()
    #: Coverage, for every consumer that adds it up.
    coverage: CoverageSettings = CoverageSettings()
    #: Globs of the branches that others are compared with.
    base_branches: BaseBranches = BASE_BRANCHES
    #: The parts of the repository, for gates, alarms and pages.
    components: Components = Field(default_factory=dict)
    #: What people may decide against the rules.
    overrides: OverridesSettings = OverridesSettings()
    #: Celery's own tools.
    celery: CelerySettings = CelerySettings()
    #: Each consumer's section, validated by the consumer; one that is not named here does not run, except
    #: `runs`, `gates` and `requests`, which always do.
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
        raw, source, faults = parse_yaml(text, str(path))
    except yaml.YAMLError as error:
        raise SettingsError(faults=[yaml_fault(error, str(path))]) from None
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
        raise SettingsError(faults=found(error, model, source, path)) from None


def require_tls(url: str, key: str, *, allowed: bool) -> None:
    """Raise SettingsError for a plain-text URL that leaves this machine, unless that is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allowed:
        raise SettingsError(
            f"{key}: http:// to {parts.hostname} would show the key to the network; use https:// or allow_plaintext"
        )
