"""Parity: the results in `testbus events` against JUnit XML of the same run, on public packages' own suites.

usage: python -m benchmarks.parity [click jinja2 tinydb] [-n 2] [-x] [--url amqp://…] [--json]

Each package is taken from the package index as a source archive and tested in an environment of its own. The comparison
is test by test: id and outcome. The last line with --json is one object: package → counts of `junit`, `testbus`,
`different`. Exits 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import venv
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from _pytest.junitxml import mangle_test_address

#: Package → what its suite needs besides pytest, and where the suite lies.
SUITES = {
    "click": ((), "tests"),
    "jinja2": (("trio",), "tests"),
    "tinydb": (("pyyaml", "pytest-cov"), "tests"),
    "tabulate": (("numpy", "pandas", "wcwidth"), "test"),
    "attrs": (("hypothesis", "cloudpickle"), "tests"),
}

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Compare the packages that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=["click", "jinja2", "tinydb"])
    parser.add_argument("-n", dest="workers", type=int, default=0, help="xdist workers")
    parser.add_argument("-x", dest="exitfirst", action="store_true", help="stop at the first failure")
    parser.add_argument("--keep", type=Path, default=Path.home() / ".cache" / "testbus-parity", help="where to unpack")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for package in told.packages:
        suite, python = prepare(package, told.keep)
        found[package] = compare(suite, python, SUITES[package][1], told.workers, exitfirst=told.exitfirst)
        if not told.json:
            print(
                f"{package:10} junit {found[package]['junit']:5}  testbus {found[package]['testbus']:5}  "
                f"different {len(found[package]['different'])}"
            )
            for line in found[package]["different"][:10]:
                print(f"    {line}")
    if told.json:
        print(json.dumps(found))
    return int(any(one["different"] or not one["junit"] for one in found.values()))


def prepare(package: str, keep: Path) -> tuple[Path, Path]:
    """Return the unpacked source and the Python of its environment, made on first use."""
    keep.mkdir(parents=True, exist_ok=True)
    python = keep / f"venv-{package}" / "bin" / "python"
    if not python.exists():
        venv.create(python.parent.parent, with_pip=True)
        extra = SUITES[package][0]
        install = [str(python), "-m", "pip", "install", "-qqq", package, "pytest", "pytest-xdist", "pytest-reportlog"]
        subprocess.run([*install, *extra, "-e", f"{ROOT}[all]"], check=True)
    archives = keep / f"sdist-{package}"
    if not archives.exists():
        download = [
            str(python),
            "-m",
            "pip",
            "download",
            "-qqq",
            "--no-binary",
            ":all:",
            "--no-deps",
            "--no-build-isolation",
        ]
        subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "-qqq",
                "flit-core",
                "poetry-core",
                "hatchling",
                "setuptools",
                "setuptools-scm",
                "hatch-vcs",
                "hatch-fancy-pypi-readme",
            ],
            check=True,
        )
        subprocess.run([*download, "-d", str(archives), package], check=True)
        for archive in archives.glob("*.tar.gz"):
            with tarfile.open(archive) as packed:
                packed.extractall(archives, filter="data")
    return next(path for path in archives.iterdir() if path.is_dir()), python


def compare(suite: Path, python: Path, tests: str, workers: int, *, exitfirst: bool) -> dict[str, object]:
    """Run the suite once under `testbus run`, and compare its two records."""
    # With -x there has to be something to stop at, and something before and after it.
    stop = suite / tests / "test_m_parity.py"
    stop.unlink(missing_ok=True)
    if exitfirst:
        stop.write_text("def test_stops_here():\n    assert not 'a real failure'\n", encoding="utf-8")
    xml = suite / "testbus-parity.xml"
    xml.unlink(missing_ok=True)
    home = suite / ".testbus"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "TESTBUS_"))} | {
        "TESTBUS_HOME": str(home),
        "TESTBUS_RUN_ID": f"parity-{os.getpid()}-{workers}-{exitfirst}",
    }
    pytest = [str(python), "-m", "pytest", "-q", tests, f"--junitxml={xml}", "-p", "no:cacheprovider"]
    pytest += ["-n", str(workers)] if workers else []
    pytest += ["-x"] if exitfirst else []
    testbus = [str(python), "-m", "testbus"]
    subprocess.run([*testbus, "run", "--", *pytest], cwd=suite, env=environment, check=False, stdout=subprocess.DEVNULL)
    events = subprocess.run(
        [*testbus, "events", "--run", environment["TESTBUS_RUN_ID"], "--type", "results.recorded", "--json"],
        cwd=suite,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    ours = Counter(
        (*address(result["node_id"]), as_junit(result["outcome"]))
        for line in events.splitlines()
        for result in json.loads(line)["data"]["results"]
    )
    theirs = Counter(
        (case.get("classname", ""), case.get("name", ""), outcome(case)) for case in ET.parse(xml).iter("testcase")
    )
    different = [f"only junit: {key}" for key in (theirs - ours)] + [f"only testbus: {key}" for key in (ours - theirs)]
    return {"junit": theirs.total(), "testbus": ours.total(), "different": different}


def address(node_id: str) -> tuple[str, str]:
    """Return a node id as the class name and name that JUnit XML gives it."""
    names = mangle_test_address(node_id)
    return ".".join(names[:-1]), names[-1]


def as_junit(outcome: str) -> str:
    """Return the outcome as JUnit XML can tell it: it knows four."""
    return {"xpassed": "passed", "xfailed": "skipped", "timeout": "failed"}.get(outcome, outcome)


def outcome(case: ET.Element) -> str:
    """Return the outcome of a test case in JUnit XML."""
    for tag, name in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        if case.find(tag) is not None:
            return name
    return "passed"


if __name__ == "__main__":
    sys.exit(main())
