"""How runs end that do not end well, as people see it: verdict, ReportPortal, Slack, Jira and regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from tests.consumers.runs.chain import BEAT, DEADLINE, LOST, Chain

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture
def chained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Chain]]:
    """Return a function that wires all consumers, given settings of Slack."""
    made: list[Chain] = []

    def make(**slack: Any) -> Chain:
        made.append(Chain(tmp_path / str(len(made)), monkeypatch, **slack))
        return made[-1]

    yield make
    for one in made:
        one.__exit__()


def shard(index: int, total: int = 2, attempt: int = 1) -> FakeProducer:
    """Return the producer of a shard of a run on main."""
    name = f"p{index}-{attempt}"
    return FakeProducer(name, shard={"index": index, "total": total}, attempt=attempt, branch="main", commit="c1")


def first_lines(chain: Chain) -> list[str]:
    """Return how each message in Slack reads now, threads left out."""
    return [message.text.splitlines()[0] for message in chain.sandbox.slack.messages if not message.thread_ts]


def test_a_lost_producer_and_its_late_flush(chained: Callable[..., Chain]) -> None:
    """Incomplete first, told once; what the flush sends completes the run, and each target is corrected once."""
    chain = chained(only_on="failed")
    lost, other = shard(1), shard(2)
    chain.deliver(lost.started(heartbeat_s=BEAT), lost.collected("test_a", "test_b"), lost.results(test_a="passed"))
    spooled = [lost.results(test_b="passed"), lost.finished()]
    chain.deliver(*other.whole(test_c="passed"))
    chain.wait(LOST + BEAT)
    (verdict,) = chain.verdicts
    assert (verdict.verdict, verdict.cancelled, verdict.revision) == ("incomplete", False, 1)
    assert verdict.reasons[0] == "producer p1-1 (shard 1 of 2, attempt 1) fell silent before it had finished"
    assert verdict.counts == {"not_reported": 1, "passed": 2}
    (launch,) = chain.sandbox.reportportal("a").launches
    assert launch.status == "INTERRUPTED"
    (message,) = chain.sandbox.slack.messages
    assert message.text.startswith(
        "⚠️ *web · default* is incomplete: producer p1-1 (shard 1 of 2, attempt 1) fell silent"
    )
    chain.deliver(*spooled)
    assert [(one.verdict.value, one.revision) for one in chain.verdicts] == [("incomplete", 1), ("passed", 2)]
    (corrected,) = chain.sandbox.slack.messages
    assert (corrected.ts, corrected.text.splitlines()[0]) == (message.ts, "✅ *web · default*: 3 tests passed")
    (launch,) = chain.sandbox.reportportal("a").launches
    assert launch.status == "PASSED"
    assert ("complete", "yes") in {(attribute.key, attribute.value) for attribute in launch.attributes}


def test_a_cancelled_run_alarms_nobody(chained: Callable[..., Chain]) -> None:
    """Stopped by a person or the CI, a test in the middle broken off: no Slack, no issue, no regression."""
    chain = chained(only_on="failed")
    good = FakeProducer("p0", run="run-0", branch="main", commit="c0")
    chain.deliver(*good.whole(test_a="passed", test_b="passed"))
    one, two = shard(1), shard(2)
    chain.deliver(one.started(heartbeat_s=BEAT), two.started(heartbeat_s=BEAT))
    chain.deliver(one.collected("test_a", "test_b"), one.results(test_a="failed"))
    chain.deliver(one.finished("interrupted", exit_status=143))
    chain.wait(LOST + BEAT)
    verdict = chain.verdicts[-1]
    assert (verdict.verdict, verdict.cancelled) == ("incomplete", True)
    assert first_lines(chain) == []
    assert chain.sandbox.jira.issues == ()
    assert chain.consumers["regressions"].emitted == []


def test_a_rerun_of_a_cancelled_job_passes(chained: Callable[..., Chain]) -> None:
    """The second attempt takes the place of the first, whose broken test is no evidence of flakiness."""
    chain = chained(only_on="failed")
    first = shard(1, 1)
    chain.deliver(first.started(), first.results(test_a="failed"), first.finished("interrupted", exit_status=2))
    chain.deliver(*shard(1, 1, attempt=2).whole(test_a="passed"))
    assert [(one.verdict.value, one.cancelled) for one in chain.verdicts] == [("incomplete", True), ("passed", False)]
    assert first_lines(chain) == []
    assert chain.sandbox.jira.issues == ()
    assert chain.consumers["regressions"].emitted == []
    (launch,) = chain.sandbox.reportportal("a").launches
    assert ("complete", "yes") in {(attribute.key, attribute.value) for attribute in launch.attributes}


def test_a_shard_that_failed_is_told_although_the_ci_stopped_the_others(chained: Callable[..., Chain]) -> None:
    """Fail-fast: the failure is why the others were stopped, so nobody wanted it hidden."""
    chain = chained(only_on="failed")
    failed, stopped = shard(1), shard(2)
    chain.deliver(failed.started(), failed.results(test_a="failed"), failed.finished(exit_status=1))
    chain.deliver(stopped.started(), stopped.finished("interrupted", exit_status=2))
    (verdict,) = chain.verdicts
    assert (verdict.verdict, verdict.cancelled) == ("incomplete", False)
    assert len(first_lines(chain)) == 1
    assert len(chain.sandbox.jira.issues) == 1


@pytest.mark.parametrize("end", [{"status": "crashed"}, {"status": "finished", "dropped": 3}])
def test_what_went_wrong_beside_a_stop_is_no_cancellation(chained: Callable[..., Chain], end: dict[str, Any]) -> None:
    """A process that died, or lost results, is told."""
    chain = chained(only_on="failed")
    broken, stopped = shard(1), shard(2)
    chain.deliver(broken.started(), broken.finished(**end))
    chain.deliver(stopped.started(), stopped.finished("interrupted"))
    assert [one.cancelled for one in chain.verdicts] == [False]
    assert len(first_lines(chain)) == 1


def test_a_cancelled_run_is_one_quiet_line_where_every_run_is_told(chained: Callable[..., Chain]) -> None:
    """The message that said "is running" is brought up to date, which rings nowhere; no route of alarms takes it."""
    chain = chained(only_on="always", routes=[{"severity": ["incomplete", "block"], "channel": "C0SANDBOX02"}])
    producer = FakeProducer(branch="main")
    chain.deliver(producer.started(), producer.results(test_a="passed"))
    chain.deliver(producer.finished("interrupted"))
    assert first_lines(chain) == ["⏹️ *web · default* was cancelled: so far none of 1 test fails"]
    assert [message.channel.name for message in chain.sandbox.slack.messages] == ["ci"]


def test_a_cancelled_run_is_no_change_of_its_branch(chained: Callable[..., Chain]) -> None:
    """With `only_on: changed` neither it nor the green run after it is news."""
    chain = chained(only_on="changed")
    for number, status in enumerate(("finished", "interrupted", "finished")):
        producer = FakeProducer(f"p{number}", run=f"run-{number}", branch="main")
        chain.deliver(producer.started(), producer.results(test_a="passed"), producer.finished(status))
    assert [one.verdict.value for one in chain.verdicts] == ["passed", "incomplete", "passed"]
    assert first_lines(chain) == []


def test_shards_that_never_began_are_missed_once_and_corrected_once(chained: Callable[..., Chain]) -> None:
    """Slack's one message says incomplete, and passed when the shard came after all; the launch is corrected."""
    chain = chained(only_on="failed")
    chain.deliver(*shard(1).whole(test_a="passed"))
    chain.wait(DEADLINE + 1)
    chain.wait(DEADLINE + 1)
    assert [one.verdict.value for one in chain.verdicts] == ["incomplete"]
    assert [line.split()[0] for line in first_lines(chain)] == ["⚠️"]
    chain.deliver(*shard(2).whole(test_b="passed"))
    assert [(one.revision, one.verdict.value) for one in chain.verdicts] == [(1, "incomplete"), (2, "passed")]
    assert first_lines(chain) == ["✅ *web · default*: 2 tests passed"]
    (launch,) = chain.sandbox.reportportal("a").launches
    assert launch.status == "PASSED"
    assert "Incomplete" not in launch.description
