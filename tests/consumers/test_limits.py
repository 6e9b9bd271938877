"""Rate limits within one process, and what is refused of a Redis."""

from __future__ import annotations

import subprocess
import sys

import pytest
import structlog

from testbus_consumers.bootstrap import open_limits
from testbus_consumers.errors import SettingsError
from testbus_consumers.rate_limits import LocalLimits
from testbus_consumers.settings import RedisSettings, Secret
from testbus_consumers.shared_limits import RedisLimits


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        """Return the moment, in seconds."""
        return self.now


def test_turns_are_given_out_at_the_rate() -> None:
    """Each waits for the ones before it; a key that was left alone is free at once."""
    clock = Clock()
    limits = LocalLimits(clock)
    assert [limits.take("a", every_s=0.5) for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now += 10
    assert limits.take("a", every_s=0.5) == 0.0


def test_a_turn_that_is_too_far_off_is_not_taken() -> None:
    """It is told when to ask again, and those who may wait longer still get theirs."""
    limits = LocalLimits(Clock())
    assert limits.take("a", every_s=3) == 0.0
    assert [limits.take("a", every_s=3, longest_s=1) for _ in range(2)] == [3.0, 3.0]
    assert limits.take("a", every_s=3, longest_s=5) == 3.0
    assert limits.take("a", every_s=3, longest_s=5) == 6.0


def test_looking_takes_no_turn() -> None:
    """With no turns asked for, the answer is how long one would have to wait."""
    limits = LocalLimits(Clock())
    assert [limits.take("a", every_s=1, turns=turns) for turns in (0, 2, 0, 0)] == [0.0, 0.0, 2.0, 2.0]


def test_keys_have_turns_of_their_own() -> None:
    """And those that are over are forgotten."""
    clock = Clock()
    limits = LocalLimits(clock)
    for n in range(3000):
        clock.now += 1
        assert limits.take(str(n), every_s=0.5) == 0.0
    assert len(limits._free) <= 1024


def test_a_redis_that_is_away_is_said_once_and_missed_by_nobody() -> None:
    """Turns are given out by the process itself."""
    limits = RedisLimits("redis://127.0.0.1:1/0", "testbus-test")
    with structlog.testing.capture_logs() as logs:
        assert limits.take("a", every_s=5) == 0.0
        assert 4 < limits.take("a", every_s=5) <= 5
        limits._away_until = 1.0
        limits.take("a", every_s=5)
    limits.close()
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://localhost", "expected redis://"),
        ("redis://:secret@redis.example.com/0", "rediss:// or allow_plaintext"),
    ],
)
def test_a_url_that_is_none_or_shows_its_password_is_refused(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without showing it."""
    monkeypatch.setenv("REDIS", url)
    with pytest.raises(SettingsError, match=told) as caught:
        open_limits(RedisSettings(url=Secret(env="REDIS")))
    assert "secret" not in str(caught.value)


def test_plain_text_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For servers inside a closed network, and on this machine."""
    for url, allowed in (("redis://redis.example.com", True), ("redis://localhost", False)):
        monkeypatch.setenv("REDIS", url)
        limits = open_limits(RedisSettings(url=Secret(env="REDIS"), allow_plaintext=allowed))
        assert isinstance(limits, RedisLimits)
        limits.close()
    assert isinstance(open_limits(RedisSettings()), LocalLimits)


def test_without_a_redis_its_library_is_not_even_imported() -> None:
    """Every command would wait for it."""
    code = "import sys, testbus_consumers.bootstrap; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
