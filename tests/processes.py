"""Processes that tests start: found in PATH, on free ports, ended by their process id."""

from __future__ import annotations

import secrets
import shutil
import socket
from contextlib import closing
from typing import Final

#: Seconds that a service may take to start.
START_S: Final = 60.0

#: Seconds that a service may take to end before it is killed.
STOP_S: Final = 20.0


class ServiceMissingError(Exception):
    """A service is neither running nor can it be started; the message says the reason and the remedy."""


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unique(prefix: str) -> str:
    """Return a name that no other run uses."""
    return f"{prefix}{secrets.token_hex(5)}"


def executable(name: str, service: str) -> str:
    """Return the path of a program; ServiceMissingError when PATH has none."""
    found = shutil.which(name)
    if not found:
        raise ServiceMissingError(f"no {service}: none answers on its default port, and {name} is not in PATH")
    return found
