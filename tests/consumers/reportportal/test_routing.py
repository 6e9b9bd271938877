"""Several targets: which runs each of them gets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from harness.runs_of import START, decided, judged, passed, recorded
from testbus_consumers import registry
from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal import CONSUMER, peers
from testbus_consumers.reportportal.routing import share_of
from testbus_consumers.reportportal.settings import ReportPortalTarget, TargetMode
from testbus_consumers.reportportal.state import METADATA
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.settings import Settings, parse
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_sandbox import Sandbox
from tests.consumers.reportportal.test_settings import LEAST

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_schemas import Event, EventData

#: Makes a worker of one of the targets, which are given by name with what is special about each.
MakeTarget = "Callable[..., ConsumerHarness]"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return two running ReportPortals."""
    with Sandbox(slack=False, reportportals=("eu", "us")) as running:
        yield running


@pytest.fixture
def make(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ConsumerHarness]]:
    """Return a function that makes a worker of one of two targets, each with settings of its own."""
    for name in ("eu", "us"):
        monkeypatch.setenv(f"KEY_{name.upper()}", sandbox.reportportal(name).api_key)
    monkeypatch.setattr(peers, "USABLE_S", 0.0)
    monkeypatch.setattr(peers, "UNUSABLE_S", 0.0)
    made: list[ConsumerHarness] = []

    def worker(target: str, **targets: dict[str, Any]) -> ConsumerHarness:
        given = {
            name: {
                "endpoint": (portal := sandbox.reportportal(name)).url,
                "project": portal.project,
                "api_key": {"env": f"KEY_{name.upper()}"},
                "timeout_s": 1,
            }
            | special
            for name, special in targets.items()
        }
        own = given.pop(target)
        harness = ConsumerHarness(CONSUMER, tmp_path / f"{target}{len(made)}", own, target=target, others=given)
        METADATA.create_all(harness.policy.store.engine)
        made.append(harness)
        return harness

    yield worker
    for harness in made:
        harness.close()


#: A primary and a standby.
PAIR: dict[str, dict[str, Any]] = {
    "eu": {"mode": "failover", "priority": 1},
    "us": {"mode": "failover", "priority": 2},
}


def result(run: str, sequence: int = 2, **context: Any) -> Event[EventData]:
    """Return an event with one passed test of a run."""
    about = run_context(run=run, started_at=START, **context)
    return recorded(about, passed(f"test_{sequence}"), sequence=sequence, producer=run)


def shares(targets: dict[str, dict[str, Any]], runs: range = range(600), **context: Any) -> dict[int, str]:
    """Return which target each of many runs goes to, after all targets agreed on it."""
    configured = Settings(consumers={"reportportal": {"targets": {name: LEAST | one for name, one in targets.items()}}})
    found = registry.find(configured, "reportportal")
    chosen = {}
    for number in runs:
        about = run_context(run=f"run-{number}", **context)
        asked = (one.settings for one in found if one.settings.mode is TargetMode.BALANCE)
        said = {share_of(one, about) for one in asked if one.leaves_out(about) is None}
        assert len(said) == 1
        chosen[number] = said.pop()
    return chosen


def test_targets_that_balance_share_runs_and_agree(sandbox: Sandbox, make: Callable[..., ConsumerHarness]) -> None:
    """All of a run is at one of them; the other says in the ledger where it is."""
    both = {"eu": {"mode": "balance"}, "us": {"mode": "balance"}}
    workers = {name: make(name, **both) for name in both}
    where: dict[str, str] = {}
    for run in map(str, range(12)):
        for sequence in (2, 3):
            notes = {name: worker.deliver(result(run, sequence)) for name, worker in workers.items()}
            (there,) = (name for name, note in notes.items() if note == Acknowledge(note="1 items"))
            (other,) = set(both) - {there}
            assert notes[other] == Acknowledge(note=f"left out: balanced to {there}")
            assert where.setdefault(run, there) == there
    assert set(where.values()) == {"eu", "us"}
    for name in both:
        launches = sandbox.reportportal(name).launches
        assert len(launches) == Counter(where.values())[name]
        assert all(len(launch.items) == 2 for launch in launches)


def test_shares_follow_the_weights() -> None:
    """Three times the weight is three times the runs."""
    found = Counter(shares({"a": {"mode": "balance"}, "b": {"mode": "balance", "weight": 3}}, range(2000)).values())
    assert 2.4 < found["b"] / found["a"] < 3.7


def test_a_target_that_goes_moves_its_own_share_only() -> None:
    """The runs of the others stay where they are; one that mirrors takes no part in it."""
    three: dict[str, dict[str, Any]] = {"d": {}} | {name: {"mode": "balance"} for name in "abc"}
    before = shares(three)
    three["c"]["enabled"] = False
    after = shares(three)
    assert set(before.values()) == {"a", "b", "c"}
    assert {run: name for run, name in before.items() if name != "c"} == {
        run: name for run, name in after.items() if before[run] != "c"
    }
    assert "c" not in after.values()


def test_filters_come_before_the_share() -> None:
    """A run that only one target's filters let through goes there."""
    targets: dict[str, dict[str, Any]] = {"a": {"mode": "balance", "branches": ["main"]}, "b": {"mode": "balance"}}
    assert set(shares(targets, branch="topic").values()) == {"b"}
    assert set(shares(targets, branch="main").values()) == {"a", "b"}


def test_a_standby_leaves_runs_to_a_better_target_that_answers(
    sandbox: Sandbox, make: Callable[..., ConsumerHarness]
) -> None:
    """And takes none of the run later, even when the better one dies meanwhile: its queue keeps the rest."""
    standby = make("us", **PAIR)
    assert standby.deliver(result("r")) == Acknowledge(note="left out: eu takes it")
    sandbox.reportportal("eu").faults.refuse()
    assert standby.deliver(result("r", 3)) == Acknowledge(note="left out: eu takes it")
    assert standby.deliver(result("new")) == Acknowledge(note="1 items")
    assert [len(launch.items) for launch in sandbox.reportportal("us").launches] == [1]


@pytest.mark.parametrize("fault", ["refuse", "hang", "unauthorized", "unavailable"])
def test_a_standby_takes_whole_runs_of_a_better_target_that_is_down(
    sandbox: Sandbox, make: Callable[..., ConsumerHarness], fault: str
) -> None:
    """Whatever kind of down; and it keeps a run that it took when the better one is back, which gets it as well."""
    faults = sandbox.reportportal("eu").faults
    if fault == "refuse":
        faults.refuse()
    elif fault == "hang":
        faults.hang()
    else:
        faults.status(401 if fault == "unauthorized" else 503)
    primary, standby = make("eu", **PAIR), make("us", **PAIR)
    assert isinstance(primary.deliver(result("r")), Delay)
    assert standby.deliver(result("r")) == Acknowledge(note="1 items")
    faults.clear()
    for worker in (standby, primary):
        worker.run_timers(advance_s=120)
        worker.deliver(result("r"), result("r", 3), decided(run_context(run="r", started_at=START)))
    for name in ("eu", "us"):
        (launch,) = sandbox.reportportal(name).launches
        assert {item.name for item in launch.items} == {"test_2", "test_3"}
        assert launch.status == "PASSED"


def test_two_workers_of_a_standby_that_disagree_follow_the_first(
    sandbox: Sandbox, make: Callable[..., ConsumerHarness], tmp_path: Path
) -> None:
    """What was decided of a run is in the state that they share."""
    first = make("us", **PAIR)
    assert first.deliver(result("r")) == Acknowledge(note="left out: eu takes it")
    sandbox.reportportal("eu").faults.refuse()
    policy = first.policy
    second = ConsumerHarness(
        CONSUMER,
        tmp_path,
        policy.settings.model_dump(),
        target="us",
        others={name: one.model_dump() for name, one in policy.settings.others.items()},
        state_url=f"sqlite:///{tmp_path / 'us0'}",
    )
    with second:
        assert second.deliver(result("r", 3)) == Acknowledge(note="left out: eu takes it")


def test_a_replay_lets_a_standby_decide_anew(sandbox: Sandbox, make: Callable[..., ConsumerHarness]) -> None:
    """A person who fills the standby because the better one died in the middle gets the run there, and what follows."""
    standby = make("us", **PAIR)
    standby.deliver(result("r"))
    assert standby.deliver(result("r", 3), replay="p1") == Acknowledge(note="left out: eu takes it")
    sandbox.reportportal("eu").faults.refuse()
    assert standby.deliver(result("r", 4), replay="p1") == Acknowledge(note="left out: eu takes it")
    assert standby.deliver(result("r", 5), replay="p2") == Acknowledge(note="1 items")
    assert standby.deliver(result("r", 6)) == Acknowledge(note="1 items")
    sandbox.reportportal("eu").faults.clear()
    assert standby.deliver(result("r", 7), replay="p3") == Acknowledge(note="1 items")


@pytest.mark.parametrize("better", [{"enabled": False}, {"mode": "mirror"}, {"branches": ["release"]}, {"priority": 3}])
def test_a_standby_waits_for_no_target_that_will_not_take_the_run(
    make: Callable[..., ConsumerHarness], better: dict[str, Any]
) -> None:
    """One that is not enabled, takes no part, filters the run out, or is not better."""
    standby = make("us", **PAIR | {"eu": PAIR["eu"] | better})
    assert standby.deliver(result("r", branch="main")) == Acknowledge(note="1 items")


def test_a_hung_better_target_holds_a_standby_up_once(
    sandbox: Sandbox, make: Callable[..., ConsumerHarness], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its silence is remembered for a while, and so is its answer."""
    monkeypatch.setattr(peers, "UNUSABLE_S", 60.0)
    portal = sandbox.reportportal("eu")
    portal.faults.hang()
    standby = make("us", **PAIR)
    for run in "abc":
        assert standby.deliver(result(run)) == Acknowledge(note="1 items")
    assert portal.requests.total == 1
    portal.faults.clear()
    monkeypatch.setattr(peers, "USABLE_S", 60.0)
    standby = make("us", **PAIR)
    for run in "abc":
        assert standby.deliver(result(run)) == Acknowledge(note="left out: eu takes it")
    assert portal.requests.total == 2


def test_two_failover_targets_need_different_priorities() -> None:
    """Or nobody could say which of them is the better one."""
    same = {name: LEAST | {"mode": "failover"} for name in ("eu", "us")}
    with pytest.raises(SettingsError, match=r"reportportal\.targets: eu and us have mode failover and the same prior"):
        registry.instances(Settings(consumers={"reportportal": {"targets": same}}))


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"suites": ["e2e-*"]}, "left out: suite unit is not among the target's suites"),
        ({"stages": ["nightly"]}, "left out: a run without a stage is not among the target's stages"),
        ({"branches": ["release/*"]}, "left out: branch main is not among the target's branches"),
        ({"suites": ["un*"], "projects": ["web"]}, None),
    ],
)
def test_runs_are_filtered_by_what_they_are(filters: dict[str, Any], why: str | None) -> None:
    """Each filter has its words for the ledger."""
    target = parse(ReportPortalTarget, LEAST | filters, "eu")
    assert target.leaves_out(run_context(suite="unit", branch="main")) == why


def test_a_target_for_some_paths_gets_their_tests_only(sandbox: Sandbox, make: Callable[..., ConsumerHarness]) -> None:
    """And a launch only for a run that has any, told of the verdict whenever that comes."""
    worker = make("eu", eu={"paths": ["tests/api/**"]})
    api, web = passed("tests/api/test_a.py::test_a"), passed("x::test_b", file="tests/web/test_b.py")
    for run, results in (("none", (web,)), ("some", (web, api))):
        context = run_context(run=run, started_at=START)
        worker.deliver(FakeProducer("p", run=run).started(), judged(context, "passed"))
        worker.deliver(recorded(context, *results, producer=run), decided(context))
    (launch,) = sandbox.reportportal("eu").launches
    assert "`testbus show some`" in (launch.description or "")
    assert [item.name for item in launch.items] == [api.node_id]
    assert ("verdict", "passed") in {(one.key, one.value) for one in launch.attributes}
