"""Coverage of a suite in shards against coverage.py's own: real pytest, pytest-cov and the real producer."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from testbus_broker.event_log import EventLog
from testbus_schemas import decode
from tests.consumers.gates.judged import Judged

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_schemas import Event, EventData

#: Bound in seconds of one process.
TIMEOUT_S = 120

#: Modules of the project under test; branches, loops, an unused file, and lines that are left out.
MODULES = {
    "shop/__init__.py": "",
    "shop/api/__init__.py": "",
    "shop/api/prices.py": """
def price(kind, count=1):
    if kind == "book":
        base = 10
    elif kind == "pen":
        base = 2
    else:
        raise ValueError(kind)
    for step in range(count):
        if step > 3:
            break
    else:
        base += 1
    return base * count


def discount(total):
    return total * 0.9 if total > 100 else total


def debug(value):  # pragma: no cover
    print(value)
""",
    "shop/cart.py": """
class Cart:
    def __init__(self):
        self.items = []

    def add(self, item):
        if item and item not in self.items:
            self.items.append(item)
        return len(self.items)

    def clear(self):
        while self.items:
            self.items.pop()
        try:
            return self.items[0]
        except IndexError:
            return None
""",
    "shop/unused.py": "def never(x):\n    if x:\n        return 1\n    return 2\n",
}

#: Modules of tests, one of which makes a shard of four.
SUITE = {
    "test_1.py": "from shop.api.prices import price\n\ndef test_book():\n    assert price('book') == 11\n",
    "test_2.py": "from shop.api.prices import discount, price\n\ndef test_pen():\n    assert price('pen', 9) == 18\n"
    "    assert discount(5) == 5\n",
    "test_3.py": "from shop.cart import Cart\n\ndef test_add():\n    assert Cart().add('x') == 1\n",
    "test_4.py": "from shop.cart import Cart\nfrom shop.api.prices import discount\n\ndef test_clear():\n"
    "    cart = Cart()\n    cart.add('x')\n    cart.add('x')\n    cart.clear()\n    assert discount(200) == 180\n",
}

#: One rule for each number that is compared.
RULES: tuple[dict[str, Any], ...] = (
    {"rule": "coverage", "minimum": 0},
    {"rule": "branch_coverage", "minimum": 0},
    {"rule": "coverage", "minimum": 0, "paths": ["shop/api/**"], "name": "api"},
    {"rule": "branch_coverage", "minimum": 0, "paths": ["shop/api/**"], "name": "api"},
)


def execute(root: Path, *command: str, **environ: str) -> None:
    """Run a Python module in the project, as a job of a CI would."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TESTBUS_", "PYTEST_", "COV_", "COVERAGE_", "GITHUB_", "GITLAB_", "CI_", "JENKINS_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_shards(root: Path, shards: int) -> list[Event[EventData]]:
    """Run the suite in so many processes, one after the other; return what they published."""
    for path, text in (MODULES | SUITE).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (root / "pytest.ini").write_text("[pytest]\n")
    home = root / "home"
    for shard in range(shards):
        execute(
            root,
            *("pytest", "-q", "-p", "no:cacheprovider", "--cov=shop", "--cov-branch", "--cov-report="),
            *sorted(SUITE)[shard::shards],
            TESTBUS_URL=home.as_uri(),
            TESTBUS_SPOOL=str(root / "spool"),
            TESTBUS_PROJECT="web",
            TESTBUS_RUN_ID="run-1",
            TESTBUS_SHARD=f"{shard + 1}/{shards}",
            TESTBUS_EXIT_TIMEOUT="30",
            COVERAGE_FILE=str(root / f".coverage.{shard + 1}"),
        )
    return [decode(message.body, message.content_encoding) for message, _ in EventLog(home).read({})]


def combined(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return what `coverage combine` and `coverage json` make of the shards' data.

    By component: lines that ran, lines, branches taken, branches.
    """
    execute(root, "coverage", "combine", "-q")
    execute(root, "coverage", "json", "-q", "-o", "combined.json")
    report = json.loads((root / "combined.json").read_text())
    api = [entry["summary"] for path, entry in report["files"].items() if path.startswith("shop/api/")]
    keys = ("covered_lines", "num_statements", "covered_branches", "num_branches")
    return {
        "": tuple(report["totals"][key] for key in keys),
        "api": tuple(sum(entry[key] for entry in api) for key in keys),
    }


@pytest.mark.parametrize("shards", [2, 4])
def test_coverage_of_shards_equals_that_of_coverage_combine(tmp_path: Path, shards: int) -> None:
    """Lines and branches, of all files and of a component, in any order and with duplicates."""
    root = tmp_path / "project"
    root.mkdir()
    events = run_shards(root, shards)
    expected = combined(root)
    wanted = []
    for rule in RULES:
        lines, statements, taken, branches = expected[rule.get("name", "")]
        by_branch = rule["rule"] == "branch_coverage"
        ran, could = (taken, branches) if by_branch else (lines + taken, statements + branches)
        assert 0 < ran < could
        wanted.append((rule["rule"], f"{ran} of {could} covered", pytest.approx(100 * ran / could, abs=1e-4)))
    for seed in range(5):
        shuffled = [*events, *random.Random(seed).choices(events, k=len(events))]
        random.Random(seed).shuffle(shuffled)
        judged = Judged(tmp_path / f"state-{seed}", {"rules": list(RULES)})
        judged.deliver(*shuffled)
        verdict = judged.verdict
        judged.close()
        assert verdict.verdict == "passed"
        assert [(rule.rule, rule.message.rpartition(": ")[2], rule.value) for rule in verdict.rules] == wanted
