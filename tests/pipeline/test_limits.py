"""Rate limits that processes share through a real Redis."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import redis

from testbus_consumers.shared_limits import RedisLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Takes turns as a worker does, and prints when it acted: seconds since the epoch.
WORKER = """
import sys, time
from testbus_consumers.shared_limits import RedisLimits
limits = RedisLimits(sys.argv[1], sys.argv[2])
limits.take("warm", every_s=0)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    time.sleep(limits.take("shared", every_s=0.05, longest_s=60))
    print(time.time(), flush=True)
limits.close()
"""


def workers(url: str, prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Yield two processes that wait to be let go."""
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", WORKER, url, prefix]
        yield subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_two_processes_together_stay_under_the_rate(redis_url: str, redis_prefix: str) -> None:
    """Forty turns at twenty a second take two seconds, however many share them; and both get some all the time."""
    running = list(workers(redis_url, redis_prefix))
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [one.communicate(timeout=60)[0] for one in running]
    assert [one.returncode for one in running] == [0, 0]
    acted = sorted(float(line) for lines in told for line in lines.split())
    assert len(acted) == 40
    assert acted[-1] - acted[0] >= 39 * 0.05 - 0.02
    # Waking up late moves a turn, but never to where there are more of them than the rate allows.
    assert all(later - first >= 10 * 0.05 - 0.2 for first, later in zip(acted, acted[10:], strict=False))
    first, second = (float(lines.split()[0]) for lines in told)
    assert abs(first - second) < 1


def test_a_turn_that_is_too_far_off_is_not_taken(redis_url: str, redis_prefix: str) -> None:
    """As within one process; keys begin with the prefix, and go by themselves."""
    with closing(RedisLimits(redis_url, redis_prefix)) as limits, closing(redis.Redis.from_url(redis_url)) as client:
        waits = [limits.take("a", every_s=100, longest_s=longest) for longest in (1, 1, 150, 150)]
        assert [round(wait, -2) for wait in waits] == [0, 100, 100, 200]
        assert all(later <= before for before, later in itertools.pairwise(waits[1:3]))
        assert limits.take("b", every_s=100, turns=0) == 0
        (key,) = client.scan_iter(match=f"{redis_prefix}*")
        assert key == f"{redis_prefix}:limit:a".encode()
        assert 190 < client.ttl(key) <= 202


def test_a_redis_that_comes_back_is_asked_again(redis_url: str, redis_prefix: str) -> None:
    """What happened meanwhile is forgotten."""
    with closing(RedisLimits(redis_url, redis_prefix)) as limits:
        limits._away_until = 1.0
        assert limits.take("a", every_s=100) == 0
        assert limits._away_until == 0
