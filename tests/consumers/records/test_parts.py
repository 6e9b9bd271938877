"""The one rule how a test ended, against a naive reading of the same events: any order, duplicates, anything at all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from harness import strategies
from harness.examples import CONTEXT
from testbus_consumers.records.facts import facts_of, unpack
from testbus_consumers.records.parts import Part, part_of
from testbus_schemas import (
    CoverageRecorded,
    Failure,
    FileCoverage,
    Outcome,
    ProducerFinished,
    ProducerStatus,
    Result,
    ResultsRecorded,
    TestsCollected,
    derived,
    fingerprint,
    produced,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from testbus_schemas import EventData

#: A number of an event, and what it says.
Told = tuple[int, "EventData"]

_results = st.builds(
    Result,
    node_id=st.sampled_from(["a", "a\nb", "b::c", "d\0e", "é"]),
    attempt=st.integers(1, 3),
    outcome=st.sampled_from(Outcome),
    duration_s=st.floats(0, 1e300),
    failures=st.lists(
        st.builds(Failure, type=st.sampled_from(["E", "F"]), message=st.sampled_from(["", "x\ny"])), max_size=2
    ).map(tuple),
)
_events = st.lists(
    st.one_of(
        st.builds(ResultsRecorded, context=st.just(CONTEXT), results=st.lists(_results, max_size=4).map(tuple)),
        st.builds(
            TestsCollected,
            context=st.just(CONTEXT),
            node_ids=st.lists(st.sampled_from(["a", "z"]), max_size=2).map(tuple),
        ),
    ),
    max_size=6,
).map(lambda events: list(enumerate(events, 1)))


def columns(told: Sequence[Told]) -> dict[str, bytes]:
    """Return the columns of a producer that sent these."""
    facts = [(number, facts_of(produced(data))[0]) for number, data in told]
    return part_of([(number, unpack(blob)) for number, blob in facts if blob])


def naive(told: Sequence[Told], *, left_out: bool) -> dict[str, tuple[str, int, str]]:
    """Return outcome, attempt and cause of each test, as somebody would who reads the events in their order."""
    words: dict[tuple[str, int], Result] = {}
    names: set[str] = set()
    for _, data in sorted(told, key=lambda one: one[0]):
        if isinstance(data, TestsCollected):
            names |= set(data.node_ids)
        elif isinstance(data, ResultsRecorded):
            for result in data.results:
                words.setdefault((result.node_id.replace("\0", "\ufffd"), result.attempt), result)
    ends: dict[str, tuple[str, int, str]] = {}
    for (name, attempt), result in sorted(words.items(), key=lambda word: word[0]):
        ends[name] = (result.outcome.value, attempt, fingerprint(result.failures[0]) if result.failures else "")
    silent = "not_run" if left_out else "not_reported"
    return {name.replace("\0", "\ufffd"): (silent, 0, "") for name in names} | ends


@given(told=_events, left_out=st.booleans(), order=st.randoms(use_true_random=False))
def test_a_part_says_what_its_events_say(told: list[Told], left_out: bool, order: random.Random) -> None:  # noqa: FBT001 a case
    """The last attempt, the first word on it, what was collected and is silent; whatever order the events came in."""
    status = ProducerStatus.INTERRUPTED if left_out else ProducerStatus.CRASHED
    told = [*told, (len(told) + 1, ProducerFinished(context=CONTEXT, events=len(told) + 1, status=status))]
    found = columns(told)
    expected = naive(told, left_out=left_out)
    part = Part(found.get)
    endings = {one.node_id: one for one in part.endings()}
    assert {name: (one.outcome.value, one.attempt) for name, one in endings.items()} == {
        name: (outcome, attempt) for name, (outcome, attempt, _) in expected.items()
    }
    assert list(endings) == sorted(endings)
    assert part.head["counts"] == Counter(outcome for outcome, _, _ in expected.values())
    assert part.head["total"] == len(expected)
    last = {one.node_id: one for one in part.attempts()}
    for name, (outcome, attempt, cause) in expected.items():
        if attempt and Outcome(outcome).bad:
            assert (last[name].attempt, last[name].cause) == (attempt, cause)
    order.shuffle(told)
    assert columns(told) == found


@given(data=strategies.data)
def test_nothing_that_is_decoded_stops_the_facts(data: Any) -> None:
    """What cannot be used is a fault, with a reason; never an exception."""
    event = derived(data, consumer="x", event_id="1") if data.producer is None else produced(data)
    facts, fault = facts_of(event)
    assert facts is None or fault is None
    if facts is not None:
        part_of([(1, unpack(facts))])


def test_a_line_set_that_cannot_be_read_is_a_fault() -> None:
    """The event is kept and counted all the same, and the fault names it."""
    file = FileCoverage(path="a.py", statements="one to five", executed="")
    facts, fault = facts_of(produced(CoverageRecorded(context=CONTEXT, files=(file,))))
    assert facts is None
    assert fault is not None
    assert "one to five" in fault
