"""The plan: which faults, when and for how long, from the seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What can be done to each sort of victim, with the shortest and longest time in seconds that it lasts.
KINDS: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "worker": {
        "kill child": (0, 0),
        "kill parent": (0, 0),
        "kill tree": (0, 2),
        # Above and below the ten seconds that a lease lasts.
        "stop": (1, 13),
        "shut down": (0, 0),
    },
    # Every worker of `runs`, while one of them writes to this table and its transaction is open.
    "writing": {"part": (0, 2), "decision": (0, 2)},
    "broker": {"kill": (0, 3), "stop": (1, 5)},
    "database": {"kill": (0, 3)},
    "redis": {"kill": (0, 3)},
    "connections": {"cut": (0, 0), "stall": (1, 8), "refuse": (1, 3)},
    "target": {
        "refuse": (0.5, 3),
        "hang": (1, 5),
        "answer 429": (0.5, 3),
        "answer 500": (0.5, 3),
        "answer 503": (0.5, 3),
        "reset": (0.5, 3),
        "act, then answer 500": (0.5, 3),
        "act, then reset": (0.5, 3),
        "act, then hang": (1, 4),
    },
}

#: Of so many faults in a row, how many hit each sort.
_SHARES: Final[Mapping[str, int]] = {
    "worker": 4, "target": 4, "connections": 2, "writing": 1, "broker": 1, "database": 1, "redis": 1,
}  # fmt: skip

#: Seconds from one fault's beginning to the next one's.
_PAUSE_S: Final = (0.3, 2.0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    #: worker, writing, broker, database, redis, connections or target.
    sort: str
    #: What is done, as in KINDS.
    kind: str
    #: To whom, where there are several: a worker tree, a door of the proxy, a target.
    victim: str
    #: Seconds that it lasts.
    lasts_s: float
    #: Seconds from the one before.
    pause_s: float

    def __str__(self) -> str:
        """Return it for people."""
        whom = "" if self.victim == self.sort else f" {self.victim}"
        return f"{self.sort}{whom}: {self.kind}" + (f" for {self.lasts_s:.1f} s" if self.lasts_s else "")


def plan(count: int, seed: int, victims: Mapping[str, Sequence[str]], sorts: Sequence[str] = ()) -> list[Fault]:
    """Return so many faults; `victims` are the names by sort, `sorts` leaves out all others."""
    chance = random.Random(f"faults {seed}")
    deck = _sorts(chance, {sort: share for sort, share in _SHARES.items() if not sorts or sort in sorts})
    kinds = {sort: _pairs(chance, list(KINDS[sort]), victims.get(sort, (sort,))) for sort in KINDS}
    faults = []
    for _ in range(count):
        sort = next(deck)
        kind, victim = next(kinds[sort])
        lasts = chance.uniform(*KINDS[sort][kind])
        faults.append(Fault(sort=sort, kind=kind, victim=victim, lasts_s=lasts, pause_s=chance.uniform(*_PAUSE_S)))
    return faults


def _sorts(chance: random.Random, shares: Mapping[str, int]) -> Iterator[str]:
    """Yield sorts without end: in each round every sort as often as its share says, in an order of its own."""
    while True:
        cards = [sort for sort, share in shares.items() for _ in range(share)]
        chance.shuffle(cards)
        yield from cards


def _pairs(chance: random.Random, kinds: Sequence[str], victims: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield kinds and victims without end: every kind before one comes again, every pair before one comes again."""
    while True:
        by_kind = {kind: chance.sample(victims, len(victims)) for kind in kinds}
        for turn in range(len(victims)):
            for kind in chance.sample(kinds, len(kinds)):
                yield kind, by_kind[kind][turn]
