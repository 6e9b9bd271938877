"""The bookkeeping of confirms: exactly what is not known to be safe stays unconfirmed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbus_broker.message import Message
from testbus_broker.outstanding_confirms import Batch, Window


def batch_of(*texts: str) -> Batch:
    """Return a batch of messages with these bodies."""
    return Batch([Message(body=text.encode(), routing_key="k") for text in texts])


def send(window: Window) -> list[str]:
    """Send what the window has room for."""
    found = []
    while sent := window.take():
        window.sent(sent)
        found.append(sent.message.body.decode())
    return found


def left(batch: Batch) -> list[str]:
    """Return what is unconfirmed."""
    return [message.body.decode() for message in batch.unconfirmed()]


def test_a_window_limits_what_is_under_way() -> None:
    """Confirms make room for more, in order, across batches."""
    window, first, second = Window(2), batch_of("1", "2", "3"), batch_of("4")
    window.add(first)
    window.add(second)
    assert send(window) == ["1", "2"]
    window.answered(1, multiple=False)
    assert send(window) == ["3"]
    window.answered(0, multiple=True)
    assert first.done.is_set()
    assert left(first) == []
    assert send(window) == ["4"]
    assert window.outstanding == 1


def test_a_window_limits_bytes_too() -> None:
    """Large messages go one by one, but they go."""
    window, batch = Window(100, size_bytes=10), batch_of("x" * 50, "y" * 50)
    window.add(batch)
    assert send(window) == ["x" * 50]
    window.answered(1, multiple=False)
    assert send(window) == ["y" * 50]


def test_answers_for_several_messages() -> None:
    """A negative answer up to a tag means all before it that are open."""
    window, batch = Window(9), batch_of("1", "2", "3", "4")
    window.add(batch)
    send(window)
    window.answered(2, multiple=False)
    window.answered(3, multiple=True, refusal="full")
    window.answered(4, multiple=False)
    assert left(batch) == ["1", "3"]
    assert batch.reason == "full"


def test_a_returned_message_is_not_confirmed() -> None:
    """The confirm that follows a return does not count; of equal messages each return takes one."""
    window, batch = Window(9), batch_of("same", "other", "same")
    window.add(batch)
    send(window)
    window.returned("testbus.events", "k", b"same", "no route")
    window.returned("testbus.events", "k", b"same", "no route")
    window.returned("testbus.events", "k", b"unknown", "no route")
    window.answered(3, multiple=True)
    assert left(batch) == ["same", "same"]
    assert batch.reason == "no route"


def test_a_lost_channel_gives_up_what_was_begun() -> None:
    """What was sent cannot be known any more; a batch of which nothing was sent waits for the next channel."""
    window, first, second = Window(2), batch_of("1", "2", "3"), batch_of("4")
    window.add(first)
    window.add(second)
    send(window)
    window.answered(1, multiple=False)
    window.channel_lost("gone")
    assert left(first) == ["2", "3"]
    assert first.reason == "gone"
    assert not second.done.is_set()
    assert send(window) == ["4"]
    window.answered(1, multiple=False)
    assert left(second) == []


def test_nobody_sends_what_nobody_waits_for() -> None:
    """A batch whose caller gave up is not sent any further."""
    window, batch = Window(1), batch_of("1", "2")
    window.add(batch)
    send(window)
    batch.give_up("time ran out")
    window.answered(1, multiple=False)
    assert not window.wanted
    assert send(window) == []
    assert left(batch) == ["2"]


def test_giving_up_everything() -> None:
    """At the end nobody is left waiting."""
    window, first, second = Window(1), batch_of("1"), batch_of("2")
    window.add(first)
    window.add(second)
    send(window)
    window.give_up("closed")
    assert first.done.is_set()
    assert (left(second), second.reason) == (["2"], "closed")


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    window=st.integers(1, 4),
    answers=st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.booleans()), max_size=30),
)
def test_every_message_has_one_fate(sizes: list[int], window: int, answers: list[tuple[int, bool, bool]]) -> None:
    """Whatever the broker answers, a batch is done exactly when all its messages are answered for, and none is lost."""
    names = iter(range(1000))
    batches = [batch_of(*(str(next(names)) for _ in range(size))) for size in sizes]
    book = Window(window)
    for batch in batches:
        book.add(batch)
    sent = send(book)
    good: set[str] = set()
    base, answered = 0, set[int]()
    for ahead, multiple, refused in answers:
        tag = base + ahead
        if tag > len(sent) or tag in answered:
            continue
        now = {each for each in range(1, tag + 1) if each not in answered} if multiple else {tag}
        answered |= now
        good |= {sent[each - 1] for each in now if not refused}
        book.answered(tag, multiple=multiple, refusal="no" if refused else "")
        while base + 1 in answered:
            base += 1
        sent += send(book)
    for batch in batches:
        texts = [message.body.decode() for message in batch.messages]
        assert left(batch) == [text for text in texts if text not in good]
        assert batch.done.is_set() is all(text in sent and sent.index(text) + 1 in answered for text in texts)
    assert book.outstanding == len(sent) - len(answered)


def test_an_unanswered_batch_is_not_done() -> None:
    """Waiting with a time-out tells that it is not done."""
    assert not batch_of("1").done.wait(0.01)


@pytest.mark.parametrize("multiple", [True, False])
def test_an_answer_for_nothing_is_ignored(multiple: bool) -> None:  # noqa: FBT001 what the broker sends
    """A tag that is not open changes nothing."""
    window = Window(1)
    window.answered(7, multiple=multiple)
    assert window.outstanding == 0


def named(*texts: str) -> Batch:
    """Return a batch of messages whose ids are their bodies."""
    return Batch([Message(body=text.encode(), routing_key="k", message_id=text) for text in texts])


def test_what_is_under_way_is_not_sent_again() -> None:
    """A message that was given up and is published again waits for the confirm of the first time."""
    window, first = Window(9), named("1", "2")
    window.add(first)
    assert send(window) == ["1", "2"]
    first.give_up("slow")
    again = named("1", "2", "3")
    window.add(again)
    assert send(window) == ["3"]
    window.answered(3, multiple=True)
    assert left(again) == []
    assert again.done.is_set()


def test_a_confirm_that_came_too_late_counts_for_the_next_time() -> None:
    """Nobody waited any more: whoever publishes the same message again need not send it, once; another he must."""
    window, first = Window(9), named("1")
    window.add(first)
    send(window)
    first.give_up("slow")
    window.answered(1, multiple=False)
    again, third = named("1"), named("1")
    window.add(again)
    assert send(window) == []
    assert left(again) == []
    window.add(third)
    assert send(window) == ["1"]
    changed = Batch([Message(body=b"other", routing_key="k", message_id="1")])
    window.add(changed)
    assert send(window) == ["other"]


def test_a_refusal_that_came_too_late_is_no_confirm() -> None:
    """Nor does anything count that was under way on a channel that is lost."""
    window, first, second = Window(9), named("1"), named("2")
    window.add(first)
    window.add(second)
    send(window)
    first.give_up("slow")
    window.answered(1, multiple=False, refusal="nack")
    second.give_up("slow")
    window.channel_lost("gone")
    window.add(named("1", "2"))
    assert send(window) == ["1", "2"]
