"""Redaction: what it finds, what it takes for a secret, and what it costs.

usage: python -m benchmarks.redaction [--seed 1] [--rounds 20] [--megabytes 4] [--json]

Recall: made-up secrets of every known kind in every known place; one counts as found when no eight characters in a row
of it are left. False positives: lines that were changed in text without secrets, a made-up one of hashes, ids, images
and source lines, and the modules of Python's own library. Cost: seconds for this text beside those of writing it as
JSON, which happens to every text anyway. The last line with --json is one object: recall, missed, planted,
false_positives_per_mb, false_positives_per_mb_of_sources, times_json, hostile_worst_growth (1 is linear).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from harness.secret_corpus import lookalikes, planted, sources
from testbus_producers.redaction.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters of a secret that may be left of it.
LEFT = 7

#: What a text is made of that would slow down a careless pattern.
HOSTILE = (
    *("a", "1", " ", "\n", "eyJ", "eyJ-", "eyJa.eyJa", "token=", 'token="', "token='\"", "://a", "://a:b", "sk-a"),
    *("://" + "a1" * 12, "password", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "A" * 64 + "\n"),
    *("authorization: ", "bearer a", "cookie: a=", "--password ", "<password>", "name: token\nvalue: ", "?sig="),
    *("('token', '", '\\"key\\": ', "login a password", " -u a:", '"auth": "'),
)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--megabytes", type=float, default=4)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    size = int(told.megabytes * 1_000_000)
    found = recall(told.seed, told.rounds)
    text = lookalikes(told.seed, size)
    code = "\n".join(module for _, module in sources(size))
    measured = {
        "planted": found["planted"],
        "missed": found["planted"] - found["found"],
        "recall": round(found["found"] / found["planted"], 5),
        "false_positives_per_mb": round(changed_lines(text) / len(text) * 1e6, 2),
        "false_positives_per_mb_of_sources": round(changed_lines(code) / len(code) * 1e6, 2),
        "times_json": round(times_json(text[:2_000_000]), 2),
        "hostile_worst_growth": round(max(growth(piece) for piece in HOSTILE), 2),
    }
    if told.json:
        print(json.dumps({"seed": told.seed, **measured}))
    else:
        for name, value in measured.items():
            print(f"{name:36} {value:>10,}")
        for missed, count in (found - Counter(planted=found["planted"], found=found["found"])).most_common(20):
            print(f"    missed {count} times: {missed}")
    return 0


def recall(seed: int, rounds: int) -> Counter[str]:
    """Return how many secrets were planted and found; each that was missed by its kind and place."""
    redact = Redactor()
    counts: Counter[str] = Counter()
    for one in planted(seed, rounds):
        counts["planted"] += 1
        if shows(redact(one.text), one.secret):
            counts[f"{one.kind}, {one.place}"] += 1
        else:
            counts["found"] += 1
    return counts


def shows(text: str, secret: str) -> bool:
    """Tell whether more than `LEFT` characters in a row of a secret are in a text."""
    size = min(LEFT + 1, len(secret))
    return any(secret[start : start + size] in text for start in range(len(secret) - size + 1))


def changed_lines(text: str) -> int:
    """Return how many lines of a text without secrets were changed, each looked at by itself."""
    redact = Redactor()
    return sum(redact(line) != line for line in text.split("\n"))


def times_json(text: str) -> float:
    """Return what redaction costs, as a multiple of what writing the same texts as JSON costs."""
    pieces = [text[start : start + 8_000] for start in range(0, len(text), 8_000)]
    redact = Redactor()

    def redacting() -> None:
        for piece in pieces:
            redact(piece)

    def writing() -> None:
        for piece in pieces:
            json.dumps(piece, ensure_ascii=False).encode()

    redacting()
    return _fastest(redacting) / _fastest(writing)


def growth(piece: str, size: int = 32_000) -> float:
    """Return how much longer four times a hostile text takes, beyond the four times that it may (1 is linear)."""
    redact = Redactor()
    small, large = (piece * (length // len(piece)) for length in (size, 4 * size))
    return _fastest(lambda: redact(large)) / max(4 * _fastest(lambda: redact(small)), 1e-4)


def _fastest(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


if __name__ == "__main__":
    sys.exit(main())
