"""Flaky tests: failed and passed on one commit, told once, and no regression of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.consumers.regressions.runs_of import CiRun, main, pull

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumers.regressions.conftest import Watched

    Watch = Callable[..., Watched]


def test_a_test_that_passes_at_its_second_attempt_is_flaky(watched: Watched) -> None:
    """It is told once, on no branch in particular, and the run is not one in which it failed."""
    assert watched.deliver(main(1, a="P"), main(2, a="FP")) == ["+test_flaky a"]
    (data,) = watched.data
    assert (data.subject, data.branch, data.since, data.baseline_run) == ("a", "", "run-2", None)
    assert data.message == "a is flaky: it failed and passed on commit c2: ValueError: a is wrong"
    assert watched.deliver(main(3, a="FP"), pull(4, a="FP")) == []


def test_a_rerun_of_the_commit_shows_it_in_either_order(watch: Watch) -> None:
    """What was told as broken is over, because the commit passes after all."""
    runs = [
        CiRun(number=number, tests={"a": how}, context={"commit": "same"}) for number, how in enumerate("FP", start=2)
    ]
    watched = watch()
    assert watched.deliver(main(1), *runs) == ["+test_failed a main", "+test_flaky a", "-test_failed a main"]
    watched = watch()
    assert watched.deliver(main(1), *reversed(runs)) == ["+test_flaky a"]


def test_known_flaky_tests_are_no_new_regression(watched: Watched) -> None:
    """Neither on the base branch nor on a pull request; failing in a row more often than chance allows, they are."""
    history = [main(number, a="P") for number in range(1, 10)]
    watched.deliver(*history, main(10, a="FP"))
    assert watched.deliver(main(11, a="F")) == []
    assert watched.deliver(main(12, a="P"), pull(13, a="F")) == []
    assert watched.deliver(*(main(number, a="F") for number in range(14, 17))) == []
    assert watched.deliver(main(17, a="F")) == ["+test_failed a main"]
    assert watched.data[-1].since == "run-14"


def test_a_flaky_test_fails_in_bursts(watched: Watched) -> None:
    """It is broken only once it fails for longer than ever before within the history."""
    line = [main(number, a=how) for number, how in enumerate(["FP", *"P" * 30, *"FFF", *"P" * 9])]
    assert watched.deliver(*line) == ["+test_flaky a", "+test_failed a main", "-test_failed a main"]
    assert watched.deliver(*(main(number, a="F") for number in (50, 51, 52))) == []
    assert watched.deliver(main(53, a="F")) == ["+test_failed a main"]


def test_a_shared_failure_takes_two_commits(watched: Watched) -> None:
    """What several tests share may be what is flaky; that it happens again shows that it is no accident."""
    names = ("a", "b", "c")
    flaking = [
        CiRun(number=number, tests=dict.fromkeys(names, "FP"), said=dict.fromkeys(names, "503")) for number in (2, 3)
    ]
    watched.deliver(main(1, a="P", b="P", c="P"))
    assert watched.deliver(flaking[0]) == []
    assert watched.deliver(flaking[1]) == [f"+test_flaky {name}" for name in names]


def test_an_outage_makes_no_test_flaky(watched: Watched) -> None:
    """Many tests that fail together and pass when tried again say something about what they share."""
    names = [f"t{letter}" for letter in "abcdefghij"]
    watched.deliver(main(1, **dict.fromkeys(names, "P")))
    for number in (2, 3, 4):
        run = CiRun(number=number, tests=dict.fromkeys(names, "FP"), said=dict.fromkeys(names, "503"))
        assert watched.deliver(run) == []


def test_evidence_of_an_incomplete_run_counts(watched: Watched) -> None:
    """That a test failed and passed is so, whatever else is missing."""
    assert watched.deliver(main(1, a="P"), CiRun(number=2, tests={"a": "FP"}, missing="shard 2")) == ["+test_flaky a"]


def test_a_test_without_evidence_within_the_history_is_cured(watch: Watch) -> None:
    """It is told once that it is, and once more if it flakes again."""
    watched = watch(history=3)
    watched.deliver(main(1, a="P"), main(2, a="FP"))
    assert watched.deliver(main(3, a="P"), main(4, a="P")) == []
    assert watched.deliver(main(5, a="P")) == ["-test_flaky a"]
    assert watched.deliver(main(6, a="P"), main(7, a="FP")) == ["+test_flaky a"]
    assert watched.deliver(main(6, a="P"), main(7, a="FP")) == []


def test_variants_are_flaky_on_their_own(watched: Watched) -> None:
    """The message names the variant that is not the default one."""
    run = CiRun(number=2, tests={"a": "FP"}, context={"variant": "windows"})
    assert watched.deliver(main(1, a="P"), run) == ["+test_flaky a"]
    assert watched.data[0].message.startswith("a (windows) is flaky: it failed and passed on commit c2")
    assert watched.deliver(main(3, a="FP")) == ["+test_flaky a"]


def test_skipped_and_expected_failures_are_no_evidence_of_failing(watched: Watched) -> None:
    """A skip says nothing, and what is expected to fail passes."""
    runs = [
        CiRun(number=number, tests={"a": how}, context={"commit": "same"}) for number, how in enumerate("PSX", start=1)
    ]
    assert watched.deliver(*runs) == []
