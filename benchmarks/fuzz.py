"""Fuzz: bodies that nobody would send, through the decoder, and messages of them through a real worker.

usage: python -m benchmarks.fuzz [--bodies 1000000] [--worker 0] [--seed 1] [--processes 2] [--json]

Bodies are valid events, examples and those that hypothesis makes up, with bits flipped, pieces cut, repeated or
overwritten, values of their JSON replaced, their gzip damaged; JSON of no shape at all; and random bytes. Of the
decoder nothing but a SchemaError may ever come, and what it accepts it has to write and read again. The last line with
--json is one object: bodies, accepted, rejected, crashed; with --worker also messages, handled, dead_lettered, lost,
refused_by_broker, worker_crashes (on the RabbitMQ and PostgreSQL that the tests use, or private ones). Exits 1 when
anything crashed or is lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from multiprocessing import get_context
from typing import TYPE_CHECKING

from benchmarks.fuzz_bodies import Bodies
from testbus_schemas import SchemaError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bodies that a process makes from one seed.
CHUNK = 5_000

#: Crashes that are told in full.
TOLD = 10


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=1_000_000)
    parser.add_argument("--worker", type=int, default=0, metavar="MESSAGES", help="also through a real worker")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    began = time.monotonic()
    found: dict[str, object] = {"seed": told.seed}
    failed = False
    if told.bodies:
        counts, crashes = decoded(told.bodies, told.seed, told.processes)
        found |= {"bodies": counts["bodies"], "accepted": counts["accepted"], "rejected": counts["rejected"]}
        found |= {"crashed": counts["crashed"], "decoding_s": round(time.monotonic() - began, 1)}
        failed = bool(counts["crashed"]) or counts["bodies"] != told.bodies
        for crash in crashes:
            print(crash, file=sys.stderr)
        if not told.json:
            for kind, count in sorted(counts.items()):
                print(f"{kind:32} {count:>10,}")
    if told.worker:
        from benchmarks.fuzz_worker import through_a_worker  # noqa: PLC0415 needs services

        through = through_a_worker(told.worker, told.seed)
        found |= through.counts()
        failed = failed or not through.adds_up
        if not told.json:
            for kind, count in through.counts().items():
                print(f"{kind:32} {count:>10,}")
    if told.json:
        print(json.dumps(found))
    return int(failed)


def decoded(bodies: int, seed: int, processes: int) -> tuple[Counter[str], list[str]]:
    """Return what came of so many bodies, by outcome and by error, and the first crashes in words."""
    sizes = [min(CHUNK, bodies - start) for start in range(0, bodies, CHUNK)]
    tasks = [(f"{seed}-{number}", size) for number, size in enumerate(sizes)]
    counts: Counter[str] = Counter()
    crashes: list[str] = []
    if processes == 1:
        results: Iterable[tuple[Counter[str], list[str]]] = map(_chunk, tasks)
        return _summed(results, counts, crashes)
    with get_context("spawn").Pool(processes) as pool:
        return _summed(pool.imap_unordered(_chunk, tasks), counts, crashes)


def _summed(
    results: Iterable[tuple[Counter[str], list[str]]], counts: Counter[str], crashes: list[str]
) -> tuple[Counter[str], list[str]]:
    for found, told in results:
        counts.update(found)
        crashes.extend(told[: TOLD - len(crashes)])
    return counts, crashes


def _chunk(task: tuple[str, int]) -> tuple[Counter[str], list[str]]:
    seed, size = task
    counts: Counter[str] = Counter()
    crashes: list[str] = []
    for number, (kind, body, encoding) in enumerate(Bodies(seed).stream(size)):
        counts["bodies"] += 1
        try:
            outcome = outcome_of(body, encoding)
        except Exception as error:  # noqa: BLE001 what is looked for
            counts["crashed"] += 1
            outcome = f"crashed: {type(error).__name__}"
            crashes.append(f"seed {seed}, body {number}, {kind}, {encoding}: {error!r:.300}: {body[:300]!r}")
        counts[
            "accepted" if outcome == "accepted" else "rejected" if not outcome.startswith("crashed") else outcome
        ] += 1
        counts[f"{kind}: {outcome}"] += 1
    return counts, crashes


def outcome_of(body: bytes, encoding: str | None) -> str:
    """Return "accepted", or the name of the SchemaError; what is accepted has to be the same when it is read again."""
    try:
        event = decode(body, encoding)
    except SchemaError as error:
        str(error).encode("utf-8", "strict")
        return type(error).__name__
    encoded = encode(event)
    if decode(encoded.body, encoded.content_encoding) != event:
        raise AssertionError("written and read again, it is another event")
    return "accepted"


if __name__ == "__main__":
    sys.exit(main())
