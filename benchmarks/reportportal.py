"""How fast results reach a ReportPortal that answers late: a testbus worker beside ReportPortal's own pytest agent.

    python -m benchmarks.reportportal --latency-ms 20 --json [--results 5000] [--agent-tests 200] [--tree code]

Both report the same kind of suite to the same sandbox, one after the other, on an otherwise quiet machine. The agent is
in its default mode, one request after the other; its rate is the slope between two sizes of suite, so that starting
pytest and the seconds that it sleeps at the end do not count against it. testbus reports a backlog that pytest
published before: a real Celery worker, RabbitMQ and PostgreSQL, from the worker's first request to the launch's end.

Each request is counted once: `requests_per_test` has those about items, suites among them, `log_batches` those with
logs, of which a batch has at most what one event brought (`logs_per_batch`), and `launch_requests` all others.
`peak_rss_mb` is the largest resident size of a worker process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness import services
from harness.deployment import Deployment
from harness.support import wait_until
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbus_sandbox import ReportPortalServer

#: Tests in one module of the generated suite.
_PER_MODULE: Final = 100

#: One test in so many fails.
_FAILS: Final = 20

#: Seconds after which a run that has not ended is given up.
_PATIENCE_S: Final = 1800.0

#: The route of log batches in the sandbox's count.
_LOGS: Final = "POST /api/v1/{project}/log"

#: What the routes of items have in common.
_ITEM: Final = "/{project}/item"

#: What the route that finishes a launch ends with.
_FINISH: Final = "/launch/{uuid}/finish"

_TEST: Final = """
def test_{number}():
    {body}
"""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; rates are items a second."""

    #: Tests that testbus reported.
    results: int
    #: Milliseconds that every answer was late.
    latency_ms: int
    #: testbus.
    items_per_s: float
    #: pytest-reportportal.
    agent_items_per_s: float
    #: The first over the second.
    ratio: float
    #: Requests about items for each test.
    requests_per_test: float
    #: Requests with log entries.
    log_batches: int
    #: Log entries in each of them.
    logs_per_batch: float
    #: Requests about the launch and the project, once for each run or worker.
    launch_requests: int
    #: Largest resident size of a worker process, in MB.
    peak_rss_mb: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; with --json the last line is one object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--latency-ms", type=int, default=20, help="how late every answer is")
    parser.add_argument("--results", type=int, default=5000, help="tests that testbus reports")
    parser.add_argument("--agent-tests", type=int, default=200, help="tests of the agent's larger suite")
    parser.add_argument("--tree", choices=("flat", "code", "directory"), default="flat", help="how testbus arranges")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="testbus-bench-") as folder, ExitStack() as stack:
        work = Path(folder)
        deployment = stack.enter_context(_deployment(stack, work, options.tree))
        portal = deployment.sandbox.reportportal("a")
        portal.faults.latency(options.latency_ms)
        agent = _agent_rate(portal, work, options.agent_tests)
        print(f"pytest-reportportal: {agent:,.1f} items/s at {options.latency_ms} ms")
        figures = _measure(deployment, _suite(work / "suite", options.results), options.results, agent)
    for key, value in asdict(figures).items():
        print(f"{key:18} {value:>12,}")
    if options.json:
        print(json.dumps(asdict(figures)))
    return 0


def _deployment(stack: ExitStack, work: Path, tree: str) -> Deployment:
    return Deployment(
        folder=_made(work / "deployment"),
        amqp_url=stack.enter_context(services.rabbitmq(_made(work / "rabbitmq"))),
        database_url=stack.enter_context(services.database(_made(work / "postgresql"))),
        portals=("a",),
        targets={"a": {"tree": tree}},
        slack=False,
        started=False,
        sandbox=Sandbox(reportportals=("a",), channels=("ci",)),
    )


def _measure(deployment: Deployment, suite: Path, results: int, agent: float) -> Figures:
    portal = deployment.sandbox.reportportal("a")
    for queue in ("runs", "gates", "requests"):
        deployment.start(queue)
    deployment.pytest(suite, "-q", "--tb=line", timeout=_PATIENCE_S, TESTBUS_RUN_ID="bench", TESTBUS_EXIT_TIMEOUT="60")
    deployment.verdict("bench", timeout=_PATIENCE_S)
    portal.requests.clear()
    before = portal.totals
    deployment.start("reportportal.a")
    wait_until(lambda: portal.requests.total, _PATIENCE_S, "the worker's first request")
    began = time.perf_counter()
    wait_until(lambda: _ended(portal, before.finished + results), _PATIENCE_S, "the launch is finished")
    wall = time.perf_counter() - began
    peak_rss = deployment.peak_rss("reportportal.a")
    deployment.stop("reportportal.a")
    routes = portal.requests.by_route
    batches = routes.get(_LOGS, 0)
    about_items = sum(count for route, count in routes.items() if _ITEM in route)
    rate = results / wall
    return Figures(
        results=results,
        latency_ms=sum(fault.delay_ms for fault in portal.faults.active),
        items_per_s=round(rate, 1),
        agent_items_per_s=round(agent, 1),
        ratio=round(rate / agent, 1),
        requests_per_test=round(about_items / results, 3),
        log_batches=batches,
        logs_per_batch=round((portal.totals.logs - before.logs) / max(1, batches), 1),
        launch_requests=sum(routes.values()) - about_items - batches,
        peak_rss_mb=round(peak_rss / 1e6, 1),
    )


def _ended(portal: ReportPortalServer, finished: int) -> bool:
    # Counts only: a snapshot of a large launch would take the sandbox's time.
    return portal.totals.finished >= finished and any(_FINISH in route for route in portal.requests.by_route)


def _agent_rate(portal: ReportPortalServer, work: Path, tests: int) -> float:
    """Return the items a second of the official agent, fixed costs aside."""
    few = max(1, tests // 4)
    seconds = {count: _agent(portal, _suite(work / f"agent-{count}", count)) for count in (few, tests)}
    return (tests - few) / (seconds[tests] - seconds[few])


def _agent(portal: ReportPortalServer, suite: Path) -> float:
    settings = {
        "rp_endpoint": portal.url,
        "rp_api_key": portal.api_key,
        "rp_project": portal.project,
        "rp_launch": "agent",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_reportportal.plugin"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TESTBUS_", "PYTEST_", "RP_"))}
    environ = kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "AGENT_NO_ANALYTICS": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--reportportal", *options], cwd=suite, env=environ, capture_output=True, text=True, check=False
    )
    if " passed" not in done.stdout:
        raise SystemExit(f"pytest-reportportal did not run as it should:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - began


def _suite(folder: Path, tests: int) -> Path:
    """Write a suite of small tests, one in `_FAILS` of which fails."""
    _made(folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for first in range(0, tests, _PER_MODULE):
        bodies = ((number, number % _FAILS == _FAILS - 1) for number in range(first, min(first + _PER_MODULE, tests)))
        text = "".join(
            _TEST.format(number=number, body="assert 1 + 1 == 3" if fails else "assert 1 + 1 == 2")
            for number, fails in bodies
        )
        (folder / f"test_{first // _PER_MODULE:04d}.py").write_text(text)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
