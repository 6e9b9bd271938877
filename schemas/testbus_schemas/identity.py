"""Identities: ids that never change, whoever computes them and however often (standard library only)."""

from __future__ import annotations

import os
import re
import time
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Root of every derived id; changing it would make a second copy of everything.
NAMESPACE: Final = uuid.UUID("5f0c4f5e-1f5b-5d0c-9a52-7e57b05e7e57")

_UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562): unique, and ordered by its making to the millisecond."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    )
    return str(uuid.UUID(int=value))


def derived_id(*parts: str | int) -> str:
    """Return the UUIDv5 of the parts in their order; no two lists of parts share one."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(f"{len(str(part))}:{part}" for part in parts)))


def producer_event_id(producer: str, sequence: int) -> str:
    """Return the id of a producer's event from its position (1, 2, …) among that producer's events."""
    return derived_id("producer", producer, sequence)


def derived_event_id(consumer: str, kind: str, subject: str, counted: Iterable[str], policy: str) -> str:
    """Return the id of an event that a consumer derived.

    `counted` are the ids (or other facts) that the decision stands on, in any order: reordering and replay derive the
    same id. `policy` is the version of the rules that decided.
    """
    return derived_id("derived", consumer, kind, subject, policy, *sorted(set(counted)))


def is_short_for(text: str, run: str) -> bool:
    """Tell whether a text surely means a run by the beginning of its id, and not another run that is still to come.

    A UUID is no beginning of a name that anybody gives; a CI's id is cut where a part of it ends (`gitlab:acme/shop:12`
    means `gitlab:acme/shop:12:unit`). But `nightly-1` is not `nightly-10`.
    """
    if text == run:
        return True
    return bool(text) and run.startswith(text) and (run[len(text)] == ":" or re.fullmatch(_UUID, run) is not None)
