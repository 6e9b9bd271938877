"""Coverage drops per component, on complete runs that measured the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_consumers.errors import SettingsError
from testbus_consumers.regressions import CONSUMER
from testbus_consumers.settings import parse
from tests.consumers.regressions.runs_of import CiRun, main

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumers.regressions.conftest import Watched

    Watch = Callable[..., Watched]


def test_a_drop_is_told_once_and_once_that_it_is_made_good(watched: Watched) -> None:
    """With both values; a rise and a level are nothing to tell."""
    assert watched.deliver(main(1, 80), main(2, 82), main(3, 80)) == ["+coverage_dropped total main"]
    assert watched.deliver(main(4, 80), main(5, 81)) == []
    assert watched.deliver(main(6, 82), main(7, 82)) == ["-coverage_dropped total main"]
    detected, recovered = watched.data
    assert (detected.value, detected.baseline_value, detected.unit) == (80, 82, "%")
    assert (detected.since, detected.baseline_run, detected.subject) == ("run-3", "run-2", "total")
    assert detected.message == "Coverage fell from 82 % to 80 % since commit c3 (compared with run run-2)"
    since = "it was lower since commit c3 (run run-3, 2026-11-01 11:00 UTC)"
    assert (recovered.value, recovered.message) == (82, f"Coverage is back at 82 %; {since}")


def test_each_component_is_watched_on_its_own(watch: Watch) -> None:
    """A component is what its globs match; the total may even rise."""
    folders = {"api": "src/api/**", "web": "src/web/**", "empty": "lib/**"}
    watched = watch(components={name: {"paths": [glob]} for name, glob in folders.items()})
    before, after = {"src/api/a.py": 90, "src/web/b.py": 10}, {"src/api/a.py": 88, "src/web/b.py": 60}
    runs = [CiRun(number=number, tests={"a": "P"}, covered=lines) for number, lines in enumerate((before, after))]
    assert watched.deliver(*runs) == ["+coverage_dropped api main"]


def test_a_run_of_one_component_is_compared_as_that(watch: Watch) -> None:
    """TESTBUS_COMPONENT holds for all files of a run, also where the configuration knows no such component."""
    watched = watch(components={"web": {"paths": ["src/**"]}})
    runs = [
        CiRun(number=number, tests={"a": "P"}, covered={"src/x.py": lines}, context={"component": "api"})
        for number, lines in ((1, 80), (2, 70), (3, 80))
    ]
    assert watched.deliver(*runs[:2]) == ["+coverage_dropped api main"]
    assert watched.deliver(runs[2]) == ["-coverage_dropped api main"]


def test_a_fall_below_the_threshold_is_noise(watch: Watch) -> None:
    """`min_drop` is in percentage points, and reaching it is enough."""
    watched = watch(min_drop=2)
    assert watched.deliver(main(1, 80), main(2, 79), main(3, 78)) == []
    assert watched.deliver(main(4, 76)) == ["+coverage_dropped total main"]


def test_a_further_drop_is_a_further_cause(watched: Watched) -> None:
    """Each is over when what it cost is back."""
    assert watched.deliver(main(1, 80), main(2, 70), main(3, 60)) == ["+coverage_dropped total main"] * 2
    assert watched.deliver(main(4, 70)) == ["-coverage_dropped total main"]
    assert watched.data[-1].since == "run-3"
    assert watched.deliver(main(5, 80)) == ["-coverage_dropped total main"]


def test_incomplete_runs_are_not_compared(watched: Watched) -> None:
    """A shard that is missing takes its coverage along."""
    missing = CiRun(number=2, tests={"a": "P"}, covered={"src/x.py": 40}, missing="shard 2 of 2 never reported")
    assert watched.deliver(main(1, 80), missing, main(3, 80)) == []


def test_only_runs_that_measured_the_same_are_compared(watched: Watched) -> None:
    """Another set of variants or shards covers something else; a run that measured nothing is passed over."""
    narrow = [
        CiRun(number=number, tests={"a": "P"}, covered={"src/x.py": lines}, context={"variant": "minimal"})
        for number, lines in ((2, 30), (5, 20))
    ]
    assert watched.deliver(main(1, 80), narrow[0], main(3, a="P"), main(4, 80)) == []
    assert watched.deliver(narrow[1]) == ["+coverage_dropped total main"]
    assert watched.data[0].baseline_run == "run-2"


def test_a_late_run_moves_the_beginning_of_a_drop_that_was_told_already(watched: Watched) -> None:
    """It is not told again."""
    assert watched.deliver(main(1, 80), main(3, 70)) == ["+coverage_dropped total main"]
    assert watched.deliver(main(2, 70)) == []
    assert watched.deliver(main(4, 80)) == ["-coverage_dropped total main"]


def test_a_pull_request_is_compared_with_its_base(watched: Watched) -> None:
    """Told for its branch, and over when the branch has it back."""

    def pull(number: int, lines: int) -> CiRun:
        context = {"branch": "fix", "pull_request": "7", "base": "c1"}
        return CiRun(number=number, tests={"a": "P"}, covered={"src/x.py": lines}, context=context)

    watched.deliver(main(1, 80))
    assert watched.deliver(pull(2, 75), pull(3, 75)) == ["+coverage_dropped total fix"]
    assert watched.deliver(pull(4, 80)) == ["-coverage_dropped total fix"]
    assert watched.deliver(main(5, 80)) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"min_drop": 0}, "min_drop"),
        ({"base_branches": []}, "base_branches"),
        ({"history": 1}, "history"),
        ({"flaky": True}, "flaky"),
    ],
)
def test_wrong_settings_are_refused_with_their_key(settings: dict[str, object], told: str) -> None:
    """Nothing in a configuration is passed over."""
    with pytest.raises(SettingsError, match=told):
        parse(CONSUMER.settings, settings, "testbus.yaml", "consumers.regressions")
