"""Parity: the launch of ReportPortal's own pytest agent beside testbus's of the same run, on public packages' suites.

    python -m benchmarks.reportportal_parity [attrs click …] [--trees flat code directory] [--json]

Each package comes from the package index as a source archive and is tested in an environment of its own, made by uv.
Its suite runs once for each tree, with both plugins in the same pytest process, and both report to the sandbox: so it
is the same run. Compared are launch, tree, names, types, statuses, code references, test case ids, parameters,
attributes, descriptions and failures, item by item. What may differ has a reason, listed in docs/reportportal.md. The
last line with --json is one object: package → tree → `items`, `differences` (kind and reason → how many), `faults`.
Exits 1 when a difference has no reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from benchmarks.launch_parity import Compared, compare
from benchmarks.parity import ROOT, SUITES
from harness.looks import deliver_all
from harness.runs_of import decided
from testbus_broker.event_log import EventLog
from testbus_consumers.reportportal import CONSUMER
from testbus_consumers.testing import ConsumerHarness
from testbus_sandbox import Sandbox
from testbus_schemas import ResultsRecorded, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import Launch

#: How the agent is told to arrange items as each tree of testbus's.
TREES: Final = {
    "flat": {},
    "code": {"rp_hierarchy_code": "true"},
    "directory": {"rp_hierarchy_code": "true", "rp_hierarchy_dirs": "true"},
}

#: Where source archives are asked for.
_INDEX: Final = "https://pypi.org/pypi/{package}/json"

#: Seconds that one suite may take.
_PATIENCE_S: Final = 1800

#: Differences that are shown as examples of their kind.
_SHOWN: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the packages that the command line names; all of them by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", help=f"of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--trees", nargs="+", default=["flat", "code"], choices=list(TREES))
    parser.add_argument("--keep", type=Path, default=Path.home() / ".cache" / "testbus-parity", help="where to unpack")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    told = parser.parse_args(argv)
    found: dict[str, dict[str, Any]] = {}
    if unknown := set(told.packages) - SUITES.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SUITES)}")
    for package in told.packages or SUITES:
        suite, python = prepared(package, told.keep)
        for tree in told.trees:
            with tempfile.TemporaryDirectory(prefix="testbus-parity-") as folder, Sandbox(slack=False) as sandbox:
                both = Both(python=python, root=suite, folder=Path(folder), portal=sandbox.reportportal("a"))
                compared = compare(*both.report(tree, SUITES[package][1]), str(suite))
            found.setdefault(package, {})[tree] = _figures(compared)
            _show(package, tree, compared)
    if told.json:
        print(json.dumps(found))
    return int(any(one["faults"] or not one["items"] for trees in found.values() for one in trees.values()))


class Both:
    """Reports one run by the agent and by testbus to the same ReportPortal."""

    def __init__(self, *, python: Path, root: Path, folder: Path, portal: ReportPortalServer) -> None:
        """Run tests of `root` by `python`; `folder` holds what has to be kept meanwhile."""
        self._python = python
        self._root = root
        self._folder = folder
        self._portal = portal

    def report(self, tree: str, *arguments: str) -> tuple[Launch, Launch]:
        """Return the agent's launch of one run, and testbus's. Raises RuntimeError when the agent reported nothing."""
        home = self._folder / f"home-{tree}"
        said = self._run(home, TREES[tree], arguments)
        if not self._portal.launches:
            raise RuntimeError(f"pytest-reportportal reported nothing:\n{said[-3000:]}")
        (agent,) = self._portal.launches
        os.environ["TESTBUS_PARITY_KEY"] = self._portal.api_key
        settings = {
            "endpoint": self._portal.url,
            "project": self._portal.project,
            "api_key": {"env": "TESTBUS_PARITY_KEY"},
            "tree": tree,
        }
        events = [decode(message.body, message.content_encoding) for message, _ in EventLog(home).read({})]
        context = events[0].data.context
        results = [event for event in events if isinstance(event.data, ResultsRecorded)]
        with ConsumerHarness(CONSUMER, self._folder / f"state-{tree}", settings, target="parity") as worker:
            deliver_all(worker, [*results, decided(context, finished_at=max(event.time for event in events))])
        testbus = next(launch for launch in self._portal.launches if launch.uuid != agent.uuid)
        return agent, testbus

    def _run(self, home: Path, options: dict[str, str], arguments: Sequence[str]) -> str:
        agent = {
            "rp_endpoint": self._portal.url,
            "rp_api_key": self._portal.api_key,
            "rp_project": self._portal.project,
        } | options
        command = [str(self._python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        command += ["--testbus", "--reportportal"]
        command += [part for name, value in agent.items() for part in ("-o", f"{name}={value}")]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TESTBUS_", "PYTEST_", "RP_", "COV_"))}
        environ = kept | {
            "TESTBUS_URL": home.as_uri(),
            "TESTBUS_SPOOL": str(self._folder / "spool"),
            "TESTBUS_EXIT_TIMEOUT": "120",
            "AGENT_NO_ANALYTICS": "1",
        }
        done = subprocess.run(
            command, cwd=self._root, env=environ, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        return done.stdout + done.stderr


def prepared(package: str, keep: Path) -> tuple[Path, Path]:
    """Return the unpacked source of a package and the Python of its environment, made on first use."""
    archives = keep / f"source-{package}"
    if not archives.exists():
        for archive in _archives(package):
            with tarfile.open(fileobj=BytesIO(archive)) as packed:
                packed.extractall(archives, filter="data")
    python = keep / f"agent-{package}" / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv", "-q"]
        subprocess.run([*uv, "venv", "--python", sys.executable, str(python.parent.parent)], check=True)
        install = [*uv, "pip", "install", "--python", str(python), package, "pytest", "pytest-reportportal"]
        subprocess.run([*install, *SUITES[package][0], "-e", str(ROOT)], check=True)
    return next(path for path in archives.iterdir() if path.is_dir()), python


def _archives(package: str) -> Iterator[bytes]:
    index = _INDEX.format(package=package)
    with urllib.request.urlopen(index, timeout=60) as answer:
        known = json.load(answer)
    for file in known["urls"]:
        if file["packagetype"] == "sdist":
            with urllib.request.urlopen(urljoin(index, file["url"]), timeout=60) as answer:
                yield answer.read()


def _figures(compared: Compared) -> dict[str, Any]:
    return {
        "items": compared.items,
        "differences": compared.counts(),
        "faults": [asdict(one) for one in compared.faults[:20]],
    }


def _show(package: str, tree: str, compared: Compared) -> None:
    print(f"{package:10} {tree:10} {compared.items:6} items, {len(compared.faults)} faults", flush=True)
    for kind, count in sorted(compared.counts().items()):
        print(f"    {count:6}  {kind}")
        examples = [one for one in compared.differences if f"{one.kind}: {one.reason or 'FAULT'}" == kind]
        for one in examples[:: max(1, len(examples) // _SHOWN)]:
            print(f"            {one.item}")
            print(f"              agent   {one.agent[:160]!r}")
            print(f"              testbus {one.testbus[:160]!r}")


if __name__ == "__main__":
    sys.exit(main())
