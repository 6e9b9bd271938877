"""Rate limits that all processes keep together, through a Redis."""

from __future__ import annotations

import time
from typing import Final

import structlog
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from testbus_consumers.rate_limits import LONGEST_S, LocalLimits

log = structlog.get_logger(__name__)

#: Seconds until a Redis that does not answer is given up, and until it is asked again.
_TIMEOUT_S, _AWAY_S = 1.0, 10.0

#: The generic cell rate algorithm (as ITU-T I.371 has it): a key holds the moment from which the next turn is free, in
#: seconds since the epoch by Redis' own clock, and expires when that is past.
#: Arguments: seconds between two turns, the longest wait, how many turns. Returns the wait as text: numbers are cut.
_SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait, turns = free - now, tonumber(ARGV[3])
if turns > 0 and wait <= tonumber(ARGV[2]) then
  free = free + tonumber(ARGV[1]) * turns
  redis.call('SET', KEYS[1], string.format('%.6f', free), 'PX', math.ceil((free - now) * 1000) + 1000)
end
return string.format('%.6f', wait)
"""


class RedisLimits:
    """The limits of all processes that share a Redis; while it is unreachable, those of this process."""

    def __init__(self, url: str, prefix: str) -> None:
        """Take the URL, and what every key begins with; nothing is connected yet."""
        # One try: whoever waits here holds an event.
        self._redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._prefix = prefix
        self._own = LocalLimits()
        self._away_until = 0.0

    def take(self, key: str, *, every_s: float, longest_s: float = LONGEST_S, turns: int = 1) -> float:
        """Take so many turns on a key, as `Limits` has it."""
        if time.monotonic() >= self._away_until:
            try:
                wait = self._script(keys=[f"{self._prefix}:limit:{key}"], args=[every_s, longest_s, turns])
            except RedisError as error:
                self._lost(error)
            else:
                self._found()
                return float(wait)
        return self._own.take(key, every_s=every_s, longest_s=longest_s, turns=turns)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _lost(self, error: RedisError) -> None:
        if not self._away_until:
            log.warning("Redis is unreachable: each process keeps rate limits by itself", error=str(error))
        self._away_until = time.monotonic() + _AWAY_S

    def _found(self) -> None:
        if self._away_until:
            log.info("Redis is back: rate limits are shared again")
        self._away_until = 0.0
