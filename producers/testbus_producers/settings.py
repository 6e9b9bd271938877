"""Settings of a producer: the only place that reads the environment, and only when it is called."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass, field
from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from testbus_producers.errors import SettingError
from testbus_schemas.path_rules import PathRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Default bound of one producer's spool, in MiB.
DEFAULT_SPOOL_MAX_MB: Final = 256

#: Default bound in seconds of what publishing adds to the end of a session.
DEFAULT_EXIT_TIMEOUT_S: Final = 2.0

#: Default of the seconds between two signs of life.
DEFAULT_HEARTBEAT_S: Final = 30.0

#: Whose captured output goes along: that of tests that did not pass, of all, or none.
OUTPUT_POLICIES: Final = ("failed", "all", "none")

#: What is recorded beside the results where nobody says otherwise.
RECORDS: Final = ("change", "environment", "memory")

#: Whose authors' what goes along: their names, or their addresses, too.
AUTHORS: Final = ("name", "email")

#: Variable by which a publishing session is seen by what it starts: `<pid>:<run id>`.
SESSION_MARKER: Final = "TESTBUS_SESSION"

#: Variable that hands the run on to whatever this process starts.
RUN_VARIABLE: Final = "TESTBUS_RUN_ID"

#: Variable that names a file for the plugin to write to when pytest was asked for something without tests.
NO_TESTS_MARKER: Final = "TESTBUS_NO_TESTS"

_T = TypeVar("_T")
_SCHEMES = ("amqp", "amqps", "file")
_PROJECT: Final = r"[a-z0-9-]{1,64}"
_OFFSET: Final = r"([+-])([01]\d|2[0-3]):?([0-5]\d)"
_SHARD: Final = r"(\d{1,5})(?:/(\d{1,5}))?"
_MAX_LABELS = 32
_BYTES_PER_MB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ShardOf:
    """A part of a suite that was split."""

    #: Number of this part, from 1.
    index: int
    #: How many parts there are; None when nobody knows.
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a producer was given; None means: find out, or use the default."""

    #: Broker (amqp, amqps) or home of the embedded pipeline (file); None: nothing is sent.
    url: str | None = None
    #: Project, as in routing keys.
    project: str | None = None
    #: Run id.
    run: str | None = None
    suite: str | None = None
    #: Stage of the pipeline.
    stage: str | None = None
    #: Component that all tests and files belong to.
    component: str | None = None
    variant: str | None = None
    #: Part of the suite.
    shard: ShardOf | None = None
    #: Branch or commit to compare with.
    base: str | None = None
    #: Environment labels.
    labels: Mapping[str, str]
    #: Folder that holds one folder for each producer.
    spool: Path
    #: Bound of one producer's spool, in bytes.
    spool_max_bytes: int = DEFAULT_SPOOL_MAX_MB * _BYTES_PER_MB
    #: Bound in seconds of what publishing adds to the end of a session.
    exit_timeout_s: float = DEFAULT_EXIT_TIMEOUT_S
    #: Seconds between two signs of life; a producer that gives none any more is missed.
    heartbeat_s: float = DEFAULT_HEARTBEAT_S
    #: Whose captured output goes along; one of `OUTPUT_POLICIES`.
    output: str = "failed"
    #: Whether the password may go in clear over a network (amqp:// to another machine).
    allow_plaintext: bool = False
    #: What to redact besides the shapes that are known.
    redact: tuple[re.Pattern[str], ...] = ()
    #: Where measured files are in the repository that were measured elsewhere.
    paths: PathRules = field(default_factory=PathRules)
    #: What is recorded beside the results; some of `RECORDS`.
    record: tuple[str, ...] = RECORDS
    #: Feature flags: names or globs of variables, or `name=value`.
    flags: tuple[str, ...] = ()
    #: What authors of commits are called by; one of `AUTHORS`.
    authors: str = "name"
    #: Zone of times in report files that have none; None: see `readers.How.zone`.
    timezone: tzinfo | None = None


def environment() -> dict[str, str]:
    """Return the environment as it is now."""
    return dict(os.environ)


def url_is_set() -> bool:
    """Tell whether TESTBUS_URL alone switches publishing on; a secret that a fork does not get is empty."""
    return bool(os.environ.get("TESTBUS_URL", "").strip())


def note_no_tests() -> None:
    """Tell whoever started this process, if he wants to know, that no test runs in it."""
    marker = os.environ.get(NO_TESTS_MARKER)
    if marker and not outer_session():
        with contextlib.suppress(OSError), Path(marker).open("a", encoding="utf-8") as file:
            file.write("no tests\n")


def outer_session() -> str | None:
    """Return the marker of the publishing session that started this process (or runs in it), if there is one."""
    return os.environ.get(SESSION_MARKER) or None


def read(
    options: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    option: str = "--testbus-",
) -> Settings:
    """Return the settings from the environment; `options` are the command line's, by variable, and win.

    `option` is what an option's name begins with where they come from. Raises SettingError for a value that is not
    understood; it names the option, or the variable.
    """
    source = _Source(os.environ if environ is None else environ, options or {}, option)
    return Settings(
        url=source.parsed("TESTBUS_URL", _url),
        project=source.parsed("TESTBUS_PROJECT", _project),
        run=source.parsed(RUN_VARIABLE, _bounded(256)),
        suite=source.parsed("TESTBUS_SUITE", _bounded(128)),
        stage=source.parsed("TESTBUS_STAGE", _bounded(64)),
        component=source.parsed("TESTBUS_COMPONENT", _bounded(48)),
        variant=source.parsed("TESTBUS_VARIANT", _bounded(128)),
        shard=source.parsed("TESTBUS_SHARD", _shard),
        base=source.parsed("TESTBUS_BASE", _bounded(256)),
        labels=source.parsed("TESTBUS_LABELS", _labels) or {},
        spool=source.parsed("TESTBUS_SPOOL", _folder) or _default_spool(source.environ),
        spool_max_bytes=source.parsed("TESTBUS_SPOOL_MAX_MB", _megabytes) or Settings.spool_max_bytes,
        exit_timeout_s=_else(source.parsed("TESTBUS_EXIT_TIMEOUT", _seconds), DEFAULT_EXIT_TIMEOUT_S),
        heartbeat_s=source.parsed("TESTBUS_HEARTBEAT", _heartbeat) or DEFAULT_HEARTBEAT_S,
        output=source.parsed("TESTBUS_OUTPUT", _output) or Settings.output,
        allow_plaintext=source.parsed("TESTBUS_ALLOW_PLAINTEXT", _switch) or False,
        redact=source.parsed("TESTBUS_REDACT", _patterns) or (),
        paths=source.parsed("TESTBUS_PATHS", _path_rules) or PathRules(),
        record=_else(source.parsed("TESTBUS_RECORD", _records), RECORDS),
        flags=source.parsed("TESTBUS_FLAGS", _flags) or (),
        authors=source.parsed("TESTBUS_AUTHORS", _authors) or Settings.authors,
        timezone=source.parsed("TESTBUS_TIMEZONE", _timezone),
    )


def hand_on(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set variables for whatever this process starts (None removes one); return what they were before."""
    before = {name: os.environ.get(name) for name in variables}
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


def place(url: str) -> str:
    """Return where a URL leads, for people: host and port, or the folder; never a password."""
    where = endpoint(url)
    return f"{where[0]}:{where[1]}" if where else urlsplit(url).path


def endpoint(url: str) -> tuple[str, int] | None:
    """Return host and port that a URL leads to; None for a folder."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return None
    return parts.hostname or "localhost", parts.port or (5671 if parts.scheme == "amqps" else 5672)


class _Source:
    """Options and environment, as one."""

    def __init__(self, environ: Mapping[str, str], options: Mapping[str, str | None], prefix: str) -> None:
        self.environ = environ
        self._options = options
        self._prefix = prefix

    def parsed(self, variable: str, parse: Callable[[str, str], _T]) -> _T | None:
        option = self._options.get(variable)
        value = self.environ.get(variable, "").strip()
        if option is not None and option.strip() != value:
            name = variable.removeprefix("TESTBUS_").removesuffix("_ID").lower().replace("_", "-")
            return parse(self._prefix + name, option.strip())
        return parse(variable, value) if value else None


def _else(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _url(name: str, value: str) -> str:
    scheme = value.partition("://")[0]
    allowed = "amqp[s]://user:password@host:port/vhost or file:///folder"
    if scheme not in _SCHEMES or "://" not in value:
        raise SettingError(name, f"{scheme[:16]}…", allowed)
    try:
        parts = urlsplit(value)
        complete = bool(parts.path if scheme == "file" else parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        complete = False
    if not complete:
        raise SettingError(name, f"{scheme}://…", allowed)
    return value


def _project(name: str, value: str) -> str:
    if not re.fullmatch(_PROJECT, value):
        raise SettingError(name, value, "1 to 64 of a-z, 0-9 and -")
    return value


def _bounded(limit: int) -> Callable[[str, str], str]:
    def parse(name: str, value: str) -> str:
        if not 0 < len(value) <= limit or not value.isprintable():
            raise SettingError(name, value[:80], f"1 to {limit} printable characters")
        return value

    return parse


def _shard(name: str, value: str) -> ShardOf:
    match = re.fullmatch(_SHARD, value)
    index, total = (int(match[1]), int(match[2]) if match[2] else None) if match else (0, None)
    if index < 1 or (total is not None and index > total):
        raise SettingError(name, value, "the part and how many there are, as 2/4, or the part alone, as 2")
    return ShardOf(index=index, total=total)


def _labels(name: str, value: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    labels = {key.strip(): text.strip() for key, _, text in pairs}
    if len(labels) > _MAX_LABELS or any(not separator or not key.strip() for key, separator, _ in pairs):
        raise SettingError(name, value[:80], f"at most {_MAX_LABELS} pairs as os=linux,browser=firefox")
    return labels


def _folder(_name: str, value: str) -> Path:
    return Path(value).expanduser().absolute()


def _megabytes(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise SettingError(name, value, "a whole number of MiB, at least 1")
    return int(value) * _BYTES_PER_MB


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:  # noqa: PLR2004 an hour
        raise SettingError(name, value, "seconds, 0 to 3600")
    return seconds


def _heartbeat(name: str, value: str) -> float:
    seconds = _seconds(name, value)
    if seconds < 1:
        raise SettingError(name, value, "seconds, 1 to 3600")
    return seconds


def _switch(name: str, value: str) -> bool:
    if value.lower() not in {"0", "1", "false", "true", "no", "yes"}:
        raise SettingError(name, value, "1 or 0")
    return value.lower() in {"1", "true", "yes"}


def _output(name: str, value: str) -> str:
    if value not in OUTPUT_POLICIES:
        raise SettingError(name, value, "one of " + ", ".join(OUTPUT_POLICIES))
    return value


def _patterns(name: str, value: str) -> tuple[re.Pattern[str], ...]:
    from testbus_producers.redaction import secret_patterns  # noqa: PLC0415 only where somebody has some

    try:
        return tuple(secret_patterns.compiled(line) for line in value.splitlines() if line.strip())
    except re.error as error:
        raise SettingError(name, value[:80], f"regular expressions, one on each line ({error})") from None


def _path_rules(name: str, value: str) -> PathRules:
    lines = [line.strip() for line in value.replace(",", "\n").splitlines() if line.strip()]
    pairs = [line.rpartition("=") for line in lines]
    if any(not separator or not measured.strip() for measured, separator, _ in pairs):
        raise SettingError(name, value[:80], "a folder and the one of the repository that it is, as /app/src=src")
    return PathRules((measured, placed) for measured, _, placed in pairs)


def _records(name: str, value: str) -> tuple[str, ...]:
    records = tuple(word.strip() for word in value.split(",") if word.strip())
    if records == ("none",):
        return ()
    if not records or any(record not in RECORDS for record in records):
        raise SettingError(name, value[:80], f"some of {', '.join(RECORDS)}, or none")
    return records


def _flags(_name: str, value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.replace(",", "\n").splitlines() if word.strip())


def _authors(name: str, value: str) -> str:
    if value not in AUTHORS:
        raise SettingError(name, value, "one of " + ", ".join(AUTHORS))
    return value


def _timezone(name: str, value: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 only where somebody names one

    match = re.fullmatch(_OFFSET, value)
    if match:
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise SettingError(name, value[:80], "a zone as UTC, Europe/Berlin or +02:00") from None


def _default_spool(environ: Mapping[str, str]) -> Path:
    if environ.get("XDG_CACHE_HOME"):
        cache = Path(environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path.home() / ".cache"
    return cache / "testbus" / "spool"
