"""A Redis of our own for tests that break it."""

from __future__ import annotations

import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import redis

from harness.processes import START_S, STOP_S, executable, free_port
from harness.support import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class PrivateRedis:
    """A Redis of our own, on a free port, that tests may kill; it keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for its log; raises ServiceMissingError when there is no server."""
        self._port = free_port()
        command = [executable("redis-server", "Redis"), "--port", str(self._port), "--bind", "127.0.0.1"]
        self._command = [*command, "--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return where it listens; stays the same through restarts."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers_redis(self.url), START_S, "the private Redis answers")

    def kill(self) -> None:
        """End it at once, with all that it held."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Shut it down."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()


def answers_redis(url: str) -> bool:
    """Tell whether a Redis answers there."""
    with suppress(redis.RedisError), closing(redis.Redis.from_url(url, socket_timeout=3)) as client:
        return bool(client.ping())
    return False
