"""Publishing report files: each file is a producer of the run, whose id follows from the run and the file's bytes.

So a file that is published again, alone or with others, gives the same events with the same ids, which change nothing.
Every file is read to its end before anything is published: of one that breaks off in the middle, no result is. It
becomes a producer that could not begin, so that its run is never taken for complete.
"""

from __future__ import annotations

import glob
import hashlib
import time
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testbus_broker.errors import Unconfirmed
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_producers import settings
from testbus_producers.context import change, ci, environment, git, run_context
from testbus_producers.errors import NoReportError, NotPublishedError, ReportError, SettingError
from testbus_producers.redaction.cleaner import Cleaner
from testbus_producers.redaction.redactor import Redactor
from testbus_producers.report_files import How, ReportFile, find, read
from testbus_producers.report_files.attachments import artifact
from testbus_producers.report_files.published_file import PublishedFile, RecordFile, messages_of
from testbus_producers.source_paths import SourcePaths
from testbus_producers.spool import event_builder
from testbus_schemas import ShardsAnnounced, identity, produced
from testbus_schemas.wire import MAX_METRIC_NAME, MAX_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbus_broker.message import Message
    from testbus_producers.report_files.discover import Found
    from testbus_producers.settings import Settings
    from testbus_schemas import RunContext

#: Messages that are published, and waited for, at a time.
_WINDOW: Final = 50

#: Seconds that closing the connection may take.
_CLOSE_S: Final = 2.0

#: Bytes of a file that are digested at a time.
_CHUNK: Final = 1024 * 1024

#: Seconds that a report's clock may be ahead of ours.
_AHEAD_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Published:
    """What became of a publication."""

    #: Run id.
    run: str
    #: Every file, in the order in which they were found.
    files: tuple[PublishedFile, ...]
    #: Patterns that meant no file.
    unmatched: tuple[str, ...]
    #: Globs and folders that meant files, none of which is a report.
    reportless: tuple[str, ...]
    #: Files that were older than they may be, and left out.
    stale: tuple[Path, ...]
    #: Events that were confirmed.
    events: int
    #: Where they went, for people.
    place: str

    @property
    def readable(self) -> tuple[PublishedFile, ...]:
        """Return the files that could be read."""
        return tuple(file for file in self.files if file.error is None and file.foreign is None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is odd and costs nothing, one line each."""
        lines = []
        for file in self.files:
            if file.foreign is not None:
                lines.append(f"{file.foreign}; passed over")
            lines += [f"{file.report.path}: {warning}" for warning in file.report.warnings]
        return tuple(lines)

    @property
    def errors(self) -> tuple[str, ...]:
        """Return what went wrong, one line each."""
        absent = [f"{pattern}: {_absent(pattern)}" for pattern in self.unmatched]
        absent += [f"{pattern}: none of the files that it means is a report" for pattern in self.reportless]
        return (*absent, *(file.error for file in self.files if file.error))


def _absent(pattern: str) -> str:
    """Return why a pattern means no file."""
    path = Path(pattern)
    if path.is_dir():
        return "no report file is in this folder; name files of other names one by one, or by a glob"
    return "no file matches it" if glob.has_magic(pattern) else "no such file"


def publish(
    patterns: Sequence[str],
    runner_settings: Settings,
    *,
    timeout: float,
    attached: Sequence[tuple[str | None, str]] = (),
    metrics: Sequence[dict[str, Any]] = (),
    better: str | None = None,
    attempt: int | None = None,
    root: Path | None = None,
    since: float | None = None,
) -> Published:
    """Publish the files that the patterns mean, and wait for the broker to confirm, for at most `timeout` seconds.

    `attached` are further files and addresses, each with the test that it belongs to (None: the whole run), `metrics`
    what was measured, as `metrics.recorded` has it, `better` which of two values is the better one.

    What is known of code and machine goes along. `attempt` replaces the CI's; `root` is the project's folder, by
    default the current one. Files that were last written before `since`, in seconds since 1970, are left out. Raises
    SettingError without `runner_settings.url`, and NotPublishedError when not all was confirmed.
    """
    if runner_settings.url is None:
        raise SettingError("TESTBUS_URL", "", "amqps://user:password@host/vhost or file:///folder")
    folder = (root or Path.cwd()).resolve()
    found, unmatched = find(patterns, folder)
    stale = tuple(one.path for one in found if since is not None and one.path.stat().st_mtime < since)
    fresh = [one for one in found if one.path not in stale]
    how = _how(runner_settings, folder, better)
    files: list[PublishedFile] = []
    with RecordFile() as record_file:
        for one in fresh:
            files.append(_read(one, files, how, record_file))
        if attached:
            files.append(_attach(attached, how, record_file))
        if metrics:
            files.append(_measure(metrics, how, record_file))
        originals = [file for file in files if file.digest and file.copy_of is None and file.foreign is None]
        known = _context(runner_settings, folder, originals, attempt)
        if originals and (surroundings := _surroundings(runner_settings, known, how)):
            originals.append(_added("testbus", "testbus", surroundings, record_file))
        sent = _send(messages_of(known, originals, record_file), runner_settings, timeout) if originals else 0
    return Published(
        run=known["run"],
        files=tuple(files),
        unmatched=tuple(unmatched),
        reportless=_reportless(fresh, files),
        stale=stale,
        events=sent,
        place=settings.place(runner_settings.url),
    )


def announce_shards(
    context: RunContext, total: int, variant: str | None, runner_settings: Settings, *, timeout: float
) -> None:
    """Say how many shards a run has, with an id by which saying it again changes nothing. Raises NotPublishedError."""
    event_id = identity.derived_id("shards", context.project, context.run, variant or "", total)
    data = ShardsAnnounced(context=context.model_copy(update={"shard": None}), variant=variant, total=total)
    event = produced(data).model_copy(update={"id": event_id})
    _send(iter([message_of(event)]), runner_settings, timeout)


def _how(runner_settings: Settings, folder: Path, better: str | None) -> How:
    redact = Redactor(runner_settings.redact)
    return How(
        root=folder,
        clean=Cleaner(redact),
        redact=redact,
        output=runner_settings.output,
        better=better,
        zone=runner_settings.timezone,
        paths=cache(lambda: SourcePaths.in_repository(folder, runner_settings.paths)),
    )


def _reportless(found: Sequence[Found], files: Sequence[PublishedFile]) -> tuple[str, ...]:
    """Return the patterns of which nothing but files that are no reports is left."""
    foreign = {file.report.path for file in files if file.foreign is not None}
    useful = {one.pattern for one in found if one.path not in foreign}
    return tuple(dict.fromkeys(one.pattern for one in found if one.pattern and one.pattern not in useful))


def _read(found: Found, before: Sequence[PublishedFile], how: How, record_file: RecordFile) -> PublishedFile:
    """Read one file to its end, into the record file."""
    file = PublishedFile(report=ReportFile(path=found.path))
    start = record_file.end
    try:
        file.digest = _digest(found.path)
        file.copy_of = next(
            (one.report.path for one in before if one.digest == file.digest and one.foreign is None), None
        )
        for record in read(how, file.report) if file.copy_of is None else ():
            record_file.put(record.kind, event_builder.to_json(record.data))
            if record.kind == event_builder.RESULT:
                outcome = record.data["outcome"]
                file.outcomes[outcome] = file.outcomes.get(outcome, 0) + 1
            elif record.kind == event_builder.ARTIFACT:
                file.attachments += 1
            elif record.kind == event_builder.COVERAGE:
                file.covered += len(record.data["files"])
            elif record.kind == event_builder.BENCHMARKS:
                file.measured += len(record.data["benchmarks"])
    except ReportError as error:
        if isinstance(error, NoReportError) and found.pattern is not None:
            file.foreign = str(error)
        else:
            file.error = str(error)
        file.outcomes.clear()
        record_file.drop(start)
    file.span = (start, record_file.end)
    return file


def _attach(attached: Sequence[tuple[str | None, str]], how: How, record_file: RecordFile) -> PublishedFile:
    """Put what was attached by hand into the record file, as if it were a file of its own."""
    artifacts = (artifact(target, how, how.root, node_id=node_id) for node_id, target in attached)
    file = _added("attached", "attachments", ((event_builder.ARTIFACT, data) for data in artifacts), record_file)
    file.attachments = len(attached)
    return file


def _added(
    name: str, tool: str, records: Iterable[tuple[bytes, dict[str, Any]]], record_file: RecordFile
) -> PublishedFile:
    """Put records that are in no file into the record file, as if they were one."""
    start = record_file.end
    digest = hashlib.sha256()
    for kind, data in records:
        body = event_builder.to_json(data)
        record_file.put(kind, body)
        digest.update(body)
    file = PublishedFile(report=ReportFile(path=Path(name), tool=tool), digest=digest.hexdigest())
    file.span = (start, record_file.end)
    return file


def _measure(metrics: Sequence[dict[str, Any]], how: How, record_file: RecordFile) -> PublishedFile:
    """Put what was measured into the record file, as if it were a file of its own; of one name the last value holds."""
    named = {how.clean.value(metric["name"])[:MAX_METRIC_NAME]: metric for metric in metrics}
    kept = [metric | {"name": name, "better": how.better or "lower"} for name, metric in named.items()][:MAX_METRICS]
    data = {"metrics": kept, "left_out": len(named) - len(kept)}
    file = _added("measured", "metrics", [(event_builder.METRICS, data)], record_file)
    file.measured = len(kept)
    return file


def _surroundings(runner_settings: Settings, known: dict[str, Any], how: How) -> list[tuple[bytes, dict[str, Any]]]:
    """Return what is recorded of the code and the machine: of a producer of its own, for it may differ each time."""
    records: list[tuple[bytes, dict[str, Any]]] = []
    if "environment" in runner_settings.record:
        flags = environment.flags_of(runner_settings.flags, settings.environment())
        data = environment.describe(flags, known["labels"], how.clean, python=False)
        records.append((event_builder.ENVIRONMENT, data))
    is_first = known["shard"] is None or known["shard"]["index"] == 1
    if "change" in runner_settings.record and is_first:
        email = runner_settings.authors == "email"
        differs = change.describe(how.root, known, how.clean, email=email)
        records += [(event_builder.CHANGE, differs)] if differs else []
    return records


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises ReportError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ReportError(str(path), f"it cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _context(
    runner_settings: Settings, folder: Path, files: Sequence[PublishedFile], attempt: int | None
) -> dict[str, Any]:
    """Return the context of the run that the files are about; a run of its own, made of them, where nothing says."""
    build = ci.detect(settings.environment())
    run = run_context.current_run(runner_settings) or identity.derived_id(
        "reports", *sorted(file.digest for file in files)
    )
    known = run_context.begin(runner_settings, build, run=run, folder=folder.name)
    if build.ci == "local":
        known = run_context.complete(known, runner_settings.project, git.describe(folder))
    if attempt is not None:
        known["attempt"] = attempt
    began = [file.report.started for file in files if file.report.started is not None]
    if began and min(began) <= time.time() + _AHEAD_S:
        known["started_at"] = run_context.utc_text(min(began))
    return known


def _send(messages: Iterator[Message], runner_settings: Settings, timeout: float) -> int:
    """Publish in windows, and return how many events were confirmed. Raises NotPublishedError."""
    publisher = open_publisher(runner_settings.url or "", allow_plaintext=runner_settings.allow_plaintext)
    deadline = time.monotonic() + timeout
    sent = 0
    try:
        while window := list(islice(messages, _WINDOW)):
            publisher.publish(window, max(0.1, deadline - time.monotonic()))
            sent += len(window)
    except Unconfirmed as error:
        sent += len(window) - len(error.unconfirmed)
        raise NotPublishedError(settings.place(runner_settings.url or ""), error.reason, sent) from error
    finally:
        publisher.close(_CLOSE_S)
    return sent
