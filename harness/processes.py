"""Processes that tests start: found in PATH, on free ports, ended by their process id."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import socket
from contextlib import closing, suppress
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a service may take to start.
START_S: Final = 60.0

#: Seconds that a service may take to end before it is killed.
STOP_S: Final = 20.0


class ServiceMissingError(Exception):
    """A service is neither running nor can it be started; the message says the reason and the remedy."""


#: Ports that systems give to nobody by themselves: outgoing connections have those from 32768 on.
_PORTS: Final = range(12_000, 32_000)


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that no other test of this run is given."""
    return free_ports(1)


def free_ports(amount: int) -> int:
    """Return the first of so many loopback ports in a row, as `free_port` does."""
    while True:
        ports = [next(_NUMBERS) for _ in range(amount)]
        # Not in a row where the share began again in between.
        if ports[-1] - ports[0] == amount - 1 and all(map(_is_free, ports)):
            return ports[0]


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _numbers() -> Iterator[int]:
    """Yield this process's share of the ports again and again: test processes side by side have shares of their own."""
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = len(_PORTS) // max(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), mine + 1)
    share = _PORTS[mine * size : (mine + 1) * size]
    # Not from the beginning: other runs on this machine begin elsewhere.
    return (share[number % size] for number in count(random.randrange(size)))


_NUMBERS: Final = _numbers()


def unique(prefix: str) -> str:
    """Return a name that no other run uses."""
    return f"{prefix}{secrets.token_hex(5)}"


def executable(name: str, service: str) -> str:
    """Return the path of a program; ServiceMissingError when PATH has none."""
    found = shutil.which(name)
    if not found:
        raise ServiceMissingError(f"no {service}: none answers on its default port, and {name} is not in PATH")
    return found
