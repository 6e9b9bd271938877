"""What a reporter costs the tests: one generated suite, run in turns with each reporter.

    python -m benchmarks.runner --json [--tests 5000] [--rounds 5]

Each round runs plain pytest and every reporter once, in turns, so that a busy machine is busy for all of them. Figures
compare with plain pytest of the same round and are medians over the rounds, with the lowest and highest of them beside:
a wide range says that the machine had other work. Only the plugin under test is loaded. CPU time and voluntary context
switches are the child's own (wait4), all of its threads included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Tests in one module of the generated suite.
PER_MODULE = 100

#: Where a broker is looked for.
BROKER = "amqp://guest:guest@127.0.0.1:5672/"

#: A reporter that is this many times slower than plain pytest is run on fewer tests, and its time scaled.
FEWER_TESTS = 1000


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """One way to report, as command line and environment."""

    #: Its name in the table.
    name: str
    #: Arguments of pytest.
    arguments: tuple[str, ...] = ()
    #: Environment.
    environ: dict[str, str] = field(default_factory=dict)
    #: Tests of its suite.
    tests: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run cost."""

    #: Seconds from start to end.
    wall: float
    #: Seconds of CPU time, user and system.
    cpu: float
    #: Voluntary context switches.
    switches: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tests", type=int, default=5000, help="tests of the suite")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each reporter")
    parser.add_argument("--url", default=None, help="broker or file:// home (default: a local RabbitMQ, else a file)")
    parser.add_argument("--only", default="", help="reporters, separated by commas (plain always runs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="testbus-bench-")))
        url = options.url or stack.enter_context(broker(work))
        wanted = set(filter(None, options.only.split(",")))
        reporters = [
            reporter
            for reporter in (
                *known_reporters(work, url, options.tests),
                *stack.enter_context(reportportal(min(options.tests, FEWER_TESTS), options.tests)),
            )
            if not wanted or reporter.name in wanted or reporter.name.startswith("plain")
        ]
        print(f"{options.tests} tests, {options.rounds} rounds, testbus to {url.rpartition('@')[2]}")
        costs = measure(work, reporters, options.rounds)
    figures = compare(reporters, costs, options.tests)
    show(figures)
    if options.json:
        print(json.dumps(figures))
    return 0


def known_reporters(work: Path, url: str, tests: int) -> list[Reporter]:
    """Return the reporters that need no server but the broker."""
    spool = {"TESTBUS_URL": url, "TESTBUS_SPOOL": str(work / "spool"), "TESTBUS_EXIT_TIMEOUT": "10"}
    return [
        Reporter(name="plain", tests=tests),
        Reporter(name="junitxml", arguments=(f"--junitxml={work / 'junit.xml'}",), tests=tests),
        Reporter(name="testbus", arguments=("-p", "testbus_producers.plugin.hooks"), environ=spool, tests=tests),
        Reporter(
            name="allure", arguments=("-p", "allure_pytest.plugin", f"--alluredir={work / 'allure'}"), tests=tests
        ),
    ]


@contextmanager
def reportportal(tests: int, all_tests: int) -> Iterator[list[Reporter]]:
    """Yield pytest-reportportal against the product's sandbox, with plain pytest on as many tests to compare."""
    try:
        from testbus_sandbox import Sandbox  # noqa: PLC0415 an extra that may be missing
    except ImportError as error:
        print(f"pytest-reportportal is left out: no sandbox ({error})")
        yield []
        return
    with Sandbox(port=0) as sandbox:
        server = sandbox.reportportal("a")
        settings = {
            "rp_endpoint": server.url,
            "rp_api_key": server.api_key,
            "rp_project": server.project,
            "rp_launch": "benchmark",
        }
        arguments = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        yield [
            *([Reporter(name=f"plain-{tests}", tests=tests)] if tests < all_tests else []),
            Reporter(
                name="pytest-reportportal",
                arguments=("-p", "pytest_reportportal.plugin", "--reportportal", *arguments),
                tests=tests,
            ),
        ]


@contextmanager
def broker(work: Path) -> Iterator[str]:
    """Yield the URL of a virtual host of our own on a local RabbitMQ; without one, of a folder."""
    rabbitmqctl = shutil.which("rabbitmqctl")
    name = f"testbus-bench-{uuid.uuid4().hex[:12]}"
    if rabbitmqctl is None or not _succeeds([rabbitmqctl, "-q", "add_vhost", name]):
        print("no local RabbitMQ that may be administered: testbus publishes to a folder")
        yield (work / "home").as_uri()
        return
    try:
        subprocess.run([rabbitmqctl, "-q", "set_permissions", "-p", name, "guest", ".*", ".*", ".*"], check=True)
        url = f"{BROKER}{name}"
        _declare(url)
        yield url
    finally:
        subprocess.run([rabbitmqctl, "-q", "delete_vhost", name], check=False)


def measure(work: Path, reporters: list[Reporter], rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of each reporter, after one round that only warms the caches."""
    for tests in {reporter.tests for reporter in reporters}:
        generate(work / f"suite-{tests}", tests)
    costs: dict[str, list[Cost]] = {reporter.name: [] for reporter in reporters}
    for number in range(rounds + 1):
        for reporter in reporters if number % 2 else reporters[::-1]:
            cost = run(work / f"suite-{reporter.tests}", reporter)
            if number:
                costs[reporter.name].append(cost)
    return costs


def generate(folder: Path, tests: int) -> None:
    """Write a suite of trivial tests, with its own configuration."""
    folder.mkdir(exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for module in range(0, tests, PER_MODULE):
        body = "".join(f"def test_{number}():\n    pass\n\n\n" for number in range(min(PER_MODULE, tests - module)))
        (folder / f"test_{module // PER_MODULE:04d}.py").write_text(body)


def run(suite: Path, reporter: Reporter) -> Cost:
    """Run the suite once with a reporter."""
    strange = ("TESTBUS_", "PYTEST_", "PYTHON", "RP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    # What pip installs is compiled; a checkout is not, where the environment forbids to write beside it.
    fixed = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPYCACHEPREFIX": str(suite.parent / "compiled")}
    environ = kept | fixed | reporter.environ
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *reporter.arguments]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=suite, env=environ, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode or f"{reporter.tests} passed" not in said or "spooled" in said:
        raise SystemExit(f"{reporter.name} did not run as it should (status {process.returncode}):\n{said[-2000:]}")
    return Cost(wall=wall, cpu=usage.ru_utime + usage.ru_stime, switches=usage.ru_nvcsw)


def compare(reporters: list[Reporter], costs: dict[str, list[Cost]], tests: int) -> dict[str, dict[str, float]]:
    """Return each reporter's cost relative to plain pytest on as many tests in the same round.

    Ratios of a reporter that ran on fewer tests are those that its added time per test gives for all `tests`. The low
    and high ratio are those of single rounds: where they lie far apart, the machine was busy with something else.
    """
    plain = {reporter.tests: costs[reporter.name] for reporter in reporters if reporter.name.startswith("plain")}
    figures: dict[str, dict[str, float]] = {}
    for reporter in reporters:
        if reporter.name.startswith("plain-"):
            continue
        own, scale = costs[reporter.name], tests / reporter.tests
        rounds = list(zip(own, plain[reporter.tests], plain[tests], strict=True))
        wall = [1 + (mine.wall - base.wall) * scale / whole.wall for mine, base, whole in rounds]
        cpu = [1 + (mine.cpu - base.cpu) * scale / whole.cpu for mine, base, whole in rounds]
        added = [(mine.wall - base.wall) / reporter.tests for mine, base, _ in rounds]
        figures[reporter.name] = {
            "wall_ratio": round(statistics.median(wall), 3),
            "wall_ratio_low": round(min(wall), 3),
            "wall_ratio_high": round(max(wall), 3),
            "cpu_ratio": round(statistics.median(cpu), 3),
            "added_us_per_test": round(statistics.median(added) * 1e6, 1),
            "voluntary_switches_per_test": round(statistics.median(cost.switches for cost in own) / reporter.tests, 4),
            "tests": reporter.tests,
        }
    return figures


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    columns = list(next(iter(figures.values())))
    print(f"{'':22}" + "".join(f"{column:>30}" for column in columns))
    for name, row in figures.items():
        print(f"{name:22}" + "".join(f"{row[column]:>30}" for column in columns))


def _declare(url: str) -> None:
    from testbus_broker.declare import declare  # noqa: PLC0415 only with a real broker
    from testbus_broker.topology import Topology  # noqa: PLC0415 the same

    declare(url, Topology.of([]))


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
