"""Publishing from Python, for runners that have no plugin, and waiting for a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from testbus.commands.verdict import wait
from testbus.errors import CliError
from testbus.options import broker_or_home, context_of
from testbus_producers import settings
from testbus_producers.errors import SettingError
from testbus_producers.producer import Producer
from testbus_producers.redaction.cleaner import Cleaner, node_name
from testbus_producers.redaction.redactor import Redactor
from testbus_producers.spool.event_builder import to_json
from testbus_schemas import GateEvaluated
from testbus_schemas.results import Result, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Seconds to wait for the broker's confirms at the end, by default.
SEND_S = 60.0


class VerdictTimeoutError(CliError, TimeoutError):
    """The gates did not decide in time: `testbus trace RUN` shows where its events are."""

    def __init__(self, run: str, timeout: float) -> None:
        """Name the run, and how long was waited."""
        super().__init__(f"no verdict on {run} within {timeout:g} s: `testbus trace {run}` shows where its events are")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of published results."""

    #: Run id: what to wait for.
    run: str
    #: Results that were recorded.
    results: int
    #: Whether the broker confirmed all of it; the rest waits in the spool for `testbus flush`.
    complete: bool
    #: Why not.
    reason: str | None


class Publisher:
    """One producer of a run: records results one by one, on disk first; an unreachable broker loses nothing.

    As a context manager it finishes in order, and as interrupted when an exception passes through. Whatever is not said
    here (`url`, `project`, `run`, `suite`, `stage`, `variant`, `shard`, each as text) comes from the environment and
    the CI, as for the pytest plugin. Raises SettingError for what is not understood, and when no URL is known.

    >>> import testbus
    >>> with testbus.Publisher(url=f"file://{home}", project="shop", run="nightly-7", tool="mine") as publisher:
    ...     publisher.record(testbus.Result(node_id="checkout pays", outcome="passed", duration_s=1.5))
    >>> publisher.sent.complete
    True
    """

    def __init__(self, *, tool: str = "python", tool_version: str = "", timeout: float = SEND_S, **given: str) -> None:
        """Open the spool; `timeout` bounds in seconds what finishing may take."""
        names = {name: settings.RUN_VARIABLE if name == "run" else f"TESTBUS_{name.upper()}" for name in given}
        known = replace(settings.read({names[name]: given[name] for name in given}, option=""), exit_timeout_s=timeout)
        if known.url is None:
            raise SettingError("TESTBUS_URL", "", "amqps://user:password@host/vhost or file:///folder")
        self._clean = Cleaner(Redactor(known.redact))
        self._producer = Producer(known, tool=tool, tool_version=tool_version, folder=Path.cwd())
        self._sent: Sent | None = None

    def __enter__(self) -> Self:
        """Return the publisher."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        """Finish."""
        self.finish("finished" if kind is None else "interrupted")

    @property
    def run(self) -> str:
        """Return the run's id."""
        return self._producer.run

    @property
    def sent(self) -> Sent:
        """Return what became of the results, finished if need be."""
        return self._sent or self.finish()

    def expect(self, node_ids: Sequence[str]) -> None:
        """Say which tests are going to run: one that then says nothing is `not_reported`, and never passed."""
        self._producer.collected(node_ids)

    def record(self, result: Result) -> None:
        """Record the result of one attempt of one test; secrets of known shapes are redacted."""
        self._producer.result(to_json(_cleaned(result, self._clean)))

    def finish(self, status: str = "finished") -> Sent:
        """Say that this was all, and wait for the broker; a second call only returns what the first did."""
        if self._sent is None:
            summary = self._producer.finish(status, None, None)
            self._sent = Sent(
                run=summary.run,
                results=summary.results,
                complete=summary.complete,
                reason=summary.reason,
            )
        return self._sent


def publish(results: Iterable[Result], **given: Any) -> Sent:
    """Publish results as one producer of a run, and wait for the broker; the arguments are those of `Publisher`.

    >>> import testbus
    >>> wrong = testbus.Failure(type="ValueError", message="no such price")
    >>> results = [
    ...     testbus.Result(node_id="cart adds", outcome="passed"),
    ...     testbus.Result(node_id="cart totals", outcome="failed", failures=(wrong,)),
    ... ]
    >>> sent = testbus.publish(results, url=f"file://{home}", project="shop", run="nightly-8")
    >>> sent.run, sent.results, sent.complete
    ('nightly-8', 2, True)
    """
    with Publisher(**given) as publisher:
        for result in results:
            publisher.record(result)
    return publisher.sent


def wait_for_verdict(
    run: str | None = None, *, project: str | None = None, url: str | None = None, timeout: float = 600.0
) -> GateEvaluated:
    """Return what the gates decided of a run (default: this CI job's), once they have.

    Raises VerdictTimeoutError when they have not within `timeout` seconds, and CliError when no run or broker is known.
    An embedded pipeline (`file://`) decides while `testbus run` or `testbus drain` is at work on it.

    >>> import testbus
    >>> evaluation = testbus.wait_for_verdict("nightly-6", project="shop", url=f"file://{home}", timeout=5)
    >>> evaluation.verdict is testbus.Verdict.PASSED, dict(evaluation.counts)
    (True, {'passed': 1})
    """
    broker, home = broker_or_home(url or settings.environment().get("TESTBUS_URL") or None)
    context = context_of(run, project)
    answer = wait(broker, home, context, timeout)
    if answer is None:
        raise VerdictTimeoutError(context.run, timeout)
    return GateEvaluated.model_validate(answer["evaluation"])


def _cleaned(result: Result, clean: Cleaner) -> dict[str, Any]:
    """Return a result as plain JSON data, its texts redacted and bounded."""
    data = as_json(result)
    data["node_id"] = node_name(data["node_id"])
    for failure in data.get("failures", ()):
        for given in (failure, *failure.get("chain", ())):
            if "message" in given:
                given["message"] = clean.message(given["message"])
        if "text" in failure:
            failure["text"] = clean.text(failure["text"])
    for output in data.get("output", ()):
        output["text"] = clean.text(output["text"])
    if "reason" in data:
        data["reason"] = clean.message(data["reason"])
    if "parameters" in data:
        data["parameters"] = {name: clean.named(name, value) for name, value in data["parameters"].items()}
    return data
