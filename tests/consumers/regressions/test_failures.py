"""Newly failing and recovered tests: each cause is told once, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_schemas import RegressionDetected, RegressionRecovered
from tests.consumers.regressions.runs_of import CiRun, main, pull

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumers.regressions.conftest import Watched

    Watch = Callable[..., Watched]


def test_a_newly_failing_test_is_told_once_and_its_recovery_once(watched: Watched) -> None:
    """With what it is compared with, how it failed, and since when."""
    assert watched.deliver(main(1, a="P", b="P")) == []
    assert watched.deliver(main(2, a="P", b="F")) == ["+test_failed b main"]
    assert watched.deliver(main(3, a="P", b="F")) == []
    assert watched.deliver(main(4, a="P", b="P")) == ["-test_failed b main"]
    assert watched.deliver(main(5, a="P", b="P")) == []
    detected, recovered = watched.data
    assert isinstance(detected, RegressionDetected)
    assert isinstance(recovered, RegressionRecovered)
    assert (detected.context.run, detected.since) == ("run-2", "run-2")
    assert (detected.baseline_run, detected.baseline_commit) == ("run-1", "c1")
    assert (detected.value, detected.baseline_value, detected.unit, detected.total) == (1, 0, "tests", 1)
    assert detected.subject == detected.fingerprint
    assert detected.fingerprint.startswith("v1:")
    assert detected.message == "b fails since commit c2 (was green in run run-1): ValueError: b is wrong"
    assert (recovered.context.run, recovered.since, recovered.cause) == ("run-4", "run-2", detected.cause)
    assert (
        recovered.message
        == "b no longer fails as of commit c4; it failed since commit c2 (run run-2, 2026-11-01 10:00 UTC)"
    )


def test_tests_of_one_fingerprint_are_one_cause(watched: Watched) -> None:
    """One alert names them all; one that joins later is not told again, and the last that leaves closes it."""
    said = {"a": "db is down", "b": "db is down", "c": "db is down", "d": "something else"}
    watched.deliver(main(1, a="P", b="P", c="P", d="P"))
    runs = [
        CiRun(number=2, tests={"a": "F", "b": "F", "c": "P", "d": "F"}, said=said),
        CiRun(number=3, tests={"a": "P", "b": "F", "c": "F", "d": "F"}, said=said),
        CiRun(number=4, tests={"a": "P", "b": "P", "c": "F", "d": "F"}, said=said),
        CiRun(number=5, tests={"a": "P", "b": "P", "c": "P", "d": "F"}, said=said),
    ]
    assert sorted(watched.deliver(runs[0])) == ["+test_failed a b main", "+test_failed d main"]
    assert watched.deliver(*runs[1:3]) == []
    assert watched.deliver(runs[3]) == ["-test_failed a b main"]


def test_a_test_that_fails_otherwise_is_still_the_same_alert(watched: Watched) -> None:
    """It did fail in the run before: nothing is new."""
    watched.deliver(main(1))
    assert watched.deliver(CiRun(number=2, tests={"a": "F"}, said={"a": "one"})) == ["+test_failed a main"]
    assert watched.deliver(CiRun(number=3, tests={"a": "F"}, said={"a": "two"})) == []
    assert watched.deliver(main(4)) == ["-test_failed a main"]


def test_a_cause_that_comes_back_is_told_again(watched: Watched) -> None:
    """It was over in between."""
    assert watched.deliver(main(1), main(2, a="F"), main(3), main(4, a="E")) == [
        "+test_failed a main",
        "-test_failed a main",
        "+test_failed a main",
    ]


def test_the_first_run_is_nothing_but_a_baseline(watched: Watched) -> None:
    """What fails from the beginning is not new; what is new and fails is."""
    assert watched.deliver(main(1, a="F", b="P"), main(2, a="F", b="P")) == []
    assert watched.deliver(main(3, a="F", b="P", c="F")) == ["+test_failed c main"]
    assert watched.deliver(main(4, a="P", b="P", c="F")) == []


def test_a_new_variant_is_not_compared_with_others(watched: Watched) -> None:
    """Its first run is its baseline."""
    other = {"branch": "main", "variant": "3.14"}
    assert watched.deliver(main(1, a="P")) == []
    assert watched.deliver(CiRun(number=2, tests={"a": "F", "b": "P"}, context=other)) == []
    assert watched.deliver(CiRun(number=3, tests={"a": "F", "b": "F"}, context=other)) == ["+test_failed b main"]


def test_a_late_older_run_does_not_reopen(watched: Watched) -> None:
    """Runs are ordered by their start: what a later one showed holds."""
    watched.deliver(main(1), main(3, a="F"))
    assert watched.deliver(main(5)) == ["-test_failed a main"]
    assert watched.deliver(main(4, a="F"), main(2, a="F")) == []


def test_a_late_older_run_can_show_that_a_failure_was_new(watched: Watched) -> None:
    """Without anything before it nobody could tell."""
    assert watched.deliver(main(2, a="F")) == []
    assert watched.deliver(main(1)) == ["+test_failed a main"]
    assert watched.data[0].context.run == "run-2"


def test_duplicates_and_a_repeated_decision_change_nothing(watched: Watched) -> None:
    """Events come more than once, and decisions are made anew."""
    runs = [main(1), main(2, a="F"), main(3)]
    for run in runs:
        events = run.events()
        watched.harness.deliver(*events, *events, run.decided(revision=2), *events)
    assert watched.told() == ["+test_failed a main", "-test_failed a main"]


def test_an_incomplete_run_neither_opens_nor_closes_nor_is_compared_with(watched: Watched) -> None:
    """What is missing of it may be what matters."""
    watched.deliver(main(1, a="P", b="P"))
    assert watched.deliver(CiRun(number=2, tests={"a": "F", "b": "P"}, missing="shard 2 of 2 never reported")) == []
    assert watched.deliver(main(3, a="F", b="P")) == ["+test_failed a main"]
    assert watched.data[0].baseline_run == "run-1"
    assert watched.deliver(CiRun(number=4, tests={"a": "P"}, missing="its process died")) == []
    assert watched.deliver(main(5, a="P", b="P")) == ["-test_failed a main"]


def test_a_skipped_test_has_not_recovered_and_a_removed_one_has(watched: Watched) -> None:
    """A skip says nothing; three complete runs without a word of it say that it is gone."""
    watched.deliver(main(1, a="P", b="P"), main(2, a="F", b="P"))
    assert watched.deliver(*(main(number, a="S", b="P") for number in range(3, 8))) == []
    assert watched.deliver(main(8, b="P"), main(9, b="P")) == []
    assert watched.deliver(main(10, b="P")) == ["-test_failed a main"]


def test_a_later_ci_attempt_takes_the_place_of_the_failed_one(watched: Watched) -> None:
    """The run's second decision counts, and the first attempt's failure makes the test flaky."""
    watched.deliver(main(1, a="P"))
    first = main(2, a="F")
    assert watched.deliver(first) == ["+test_failed a main"]
    again = CiRun(number=2, tests={"a": "P"}, attempt=2)
    watched.harness.deliver(*again.recorded(), again.decided(superseded=(first.producer,)))
    assert watched.told(1) == ["+test_flaky a", "-test_failed a main"]


def test_more_causes_than_anybody_reads_are_told_as_one(watch: Watch) -> None:
    """An outage without a common signature is one alert, which is over when the last test passes."""
    watched = watch(max_causes=3)
    names = [f"t_{letter}" for letter in "abcde"]
    said = {
        name: f"wrong {letter}" for name, letter in zip(names, ("one", "two", "three", "four", "five"), strict=True)
    }
    watched.deliver(main(1, **dict.fromkeys(names, "P")))
    assert watched.deliver(CiRun(number=2, tests=dict.fromkeys(names, "F"), said=said)) == [
        "+test_failed t_a t_b t_c t_d t_e main"
    ]
    assert watched.data[0].subject == "5 tests"
    assert watched.deliver(CiRun(number=3, tests=dict.fromkeys(names, "P") | {"t_e": "F"}, said=said)) == []
    assert watched.deliver(main(4, **dict.fromkeys(names, "P"))) == ["-test_failed t_a t_b t_c t_d t_e main"]


def test_projects_and_suites_do_not_mix(watched: Watched) -> None:
    """The same test elsewhere is another one."""
    watched.deliver(main(1, a="P"))
    for number, context in ((2, {"project": "other"}), (3, {"suite": "e2e"})):
        assert watched.deliver(CiRun(number=number, tests={"a": "F"}, context=context)) == []


def test_another_project_has_no_say_in_a_run(watched: Watched) -> None:
    """Whoever knows a run's id can publish results for it, but only in the name of its own project."""
    watched.deliver(main(1, a="P"))
    forged = CiRun(number=2, tests={"a": "F"}, attempt=9, context={"project": "other"})
    watched.harness.deliver(*forged.recorded())
    assert watched.deliver(main(2, a="P")) == []


def test_runs_that_name_no_branch_are_compared_with_each_other(watched: Watched) -> None:
    """A CI that says nothing of branches has one line of runs."""
    runs = [CiRun(number=number, tests={"a": how}, context={"branch": None}) for number, how in enumerate("PFFP")]
    assert watched.deliver(*runs) == ["+test_failed a", "-test_failed a"]


def test_a_pull_request_is_compared_with_its_base(watched: Watched) -> None:
    """What fails there as well is not the pull request's; what does not is told once for its branch."""
    watched.deliver(main(1, a="P", b="F"), main(2, a="P", b="F", c="P"))
    assert watched.deliver(pull(3, base="c1", a="F", b="F", c="P")) == ["+test_failed a fix"]
    assert watched.data[0].baseline_run == "run-1"
    assert watched.deliver(pull(4, base="c1", a="F", b="F", c="P")) == []
    assert watched.deliver(main(5, a="P", b="P", c="P")) == []
    assert watched.deliver(pull(6, base="c1", a="P", b="F", c="F")) == ["+test_failed c fix", "-test_failed a fix"]


def test_a_pull_request_without_a_known_base_commit_is_compared_with_the_latest_run_before(watched: Watched) -> None:
    """Also when `base` names a branch, or a commit that was never tested."""
    watched.deliver(main(1, a="F", b="P"), main(2, a="P", b="P"), main(9, a="F", b="P"))
    for number, base in ((3, None), (4, "main"), (5, "c0")):
        assert watched.deliver(pull(number, base=base, a="F", b="P")) == (["+test_failed a fix"] if number == 3 else [])
    assert watched.data[0].baseline_run == "run-2"


def test_pull_requests_never_move_the_baseline(watched: Watched) -> None:
    """Neither by passing nor by failing, not even one from a fork's branch called main."""
    fork = {"branch": "main", "pull_request": "8"}
    watched.deliver(main(1, a="P", b="P"))
    assert watched.deliver(pull(2, a="F", b="P")) == ["+test_failed a fix"]
    assert watched.deliver(CiRun(number=3, tests={"a": "P", "b": "F"}, context=fork)) == ["+test_failed b #8"]
    assert watched.deliver(main(4, a="F", b="P")) == ["+test_failed a main"]
    assert watched.data[-1].baseline_run == "run-1"


def test_base_branches_are_globs(watch: Watch) -> None:
    """Each of them has a history of its own."""
    watched = watch(base_branches=["release/*"])
    runs = [
        CiRun(number=number, tests={"a": how}, context={"branch": branch})
        for number, (branch, how) in enumerate([("release/1", "P"), ("release/2", "F"), ("release/1", "F")])
    ]
    assert watched.deliver(*runs) == ["+test_failed a release/1"]
