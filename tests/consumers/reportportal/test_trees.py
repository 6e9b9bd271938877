"""Where tests stand in a launch: as the official agent arranges them, whatever process reports them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.looks import deliver_all, only, pairs, send, tree
from harness.runs_of import START, decided, failed, passed, recorded
from testbus_consumers.reportportal import tree as trees
from testbus_consumers.reportportal.tree import DEEPEST, Identities
from testbus_consumers.testing import run_context
from testbus_schemas.results import SuiteDescription

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

IDS = Identities(scope=("rp", "p", "eu"), project="web", run="run-1")

#: A suite with directories, classes in classes, and parameters that look like paths.
SUITE = {
    "test_root.py": "def test_root(): pass\n",
    "pkg/test_a.py": """
import pytest
def test_flat(): pass
class TestA:
    @pytest.mark.parametrize("p", ["a::b", "c/d", "e[f]"])
    def test_p(self, p): pass
    class TestInner:
        def test_fails(self): assert 0
""",
    "pkg/sub/test_b.py": "import pytest\ndef test_skipped(): pytest.skip('not now')\n",
}

#: The same tests, as node ids with how they end.
TESTS = {
    "test_root.py::test_root": "passed",
    "pkg/test_a.py::test_flat": "passed",
    "pkg/test_a.py::TestA::test_p[a::b]": "passed",
    "pkg/test_a.py::TestA::test_p[c/d]": "passed",
    "pkg/test_a.py::TestA::test_p[e[f]]": "passed",
    "pkg/test_a.py::TestA::TestInner::test_fails": "failed",
    "pkg/sub/test_b.py::test_skipped": "skipped",
}


@pytest.mark.parametrize(
    ("arranged", "options"),
    [
        ("flat", {}),
        ("code", {"rp_hierarchy_code": "true"}),
        ("directory", {"rp_hierarchy_code": "true", "rp_hierarchy_dirs": "true"}),
    ],
)
def test_the_tree_is_that_of_the_official_agent(
    make_worker: Callable[..., ConsumerHarness],
    portal: ReportPortalServer,
    tmp_path: Path,
    arranged: str,
    options: dict[str, str],
) -> None:
    """Names, types, statuses and, relative to the project, code references of suites and tests."""
    agent(portal, tmp_path, options)
    results = [
        (failed if how == "failed" else passed)(name, outcome=how, code_ref=code_ref(name))
        for name, how in TESTS.items()
    ]
    context = run_context(started_at=START)
    deliver_all(make_worker(tree=arranged), [recorded(context, *results), decided(context)])
    official, ours = portal.launches
    assert tree(ours) == tree(official)
    root = f"{tmp_path / 'suite'}/"
    assert sorted((item.type, item.code_ref) for item in ours.items) == sorted(
        (item.type, (item.code_ref or "").removeprefix(root)) for item in official.items
    )


def agent(portal: ReportPortalServer, folder: Path, options: dict[str, str]) -> None:
    """Run the suite with the official agent."""
    for name, text in SUITE.items():
        file = folder / "suite" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "suite" / "pytest.ini").write_text("[pytest]\n")
    settings = {"rp_endpoint": portal.url, "rp_api_key": portal.api_key, "rp_project": portal.project} | options
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_reportportal.plugin"]
    done = subprocess.run(
        [*command, "--reportportal", *(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))],
        cwd=folder / "suite",
        env={"AGENT_NO_ANALYTICS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 failed, 5 passed, 1 skipped" in done.stdout, done.stdout + done.stderr


def code_ref(node_id: str) -> str:
    """Return where a test's code is, as testbus's pytest plugin says."""
    file, *names = node_id.partition("[")[0].split("::")
    return f"{file}:{'.'.join(names)}"


@pytest.mark.parametrize(
    ("node_id", "names", "last"),
    [
        ("a/b/test_a.py::T::test_p[x::y/z]", ["a", "b", "test_a.py", "T"], "test_p[x::y/z]"),
        ("[phone] cart/cart.spec.ts::adds > to :: x", ["[phone] cart", "cart.spec.ts", "adds > to "], " x"),
        ("TestCart/adds", [], "TestCart/adds"),
        ("/abs//test_a.py::test_b", ["abs", "test_a.py"], "test_b"),
        ("a.py::", [], "a.py::"),
        ("a.py:: ", ["a.py"], "a.py:: "),
    ],
)
def test_names_of_other_runners_find_their_place(node_id: str, names: list[str], last: str) -> None:
    """What cannot be taken apart stays whole, directly below the launch; a blank name never comes about."""
    place = trees.place("directory", node_id, IDS)
    assert ([suite.name for suite in place.suites], place.name) == (names, last)


def test_what_is_too_deep_shares_a_suite(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """ReportPortal takes so many levels and no more: the outermost directories become one suite."""
    folders = [f"d{n}" for n in range(70)]
    node_id = "/".join(folders) + "/test_a.py::test_deep"
    deliver_all(make_worker(tree="directory"), [recorded(run_context(started_at=START), passed(node_id))])
    suites = [item for item in only(portal).items if item.type == "SUITE"]
    assert len(suites) == DEEPEST
    assert (suites[0].name, suites[0].code_ref) == ("/".join(folders[:40]), "/".join(folders[:40]))
    assert only(portal).named("test_deep").status == "PASSED"


def test_two_requests_for_a_test_and_two_for_a_suite(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """100 tests of 4 files in 2 shards: each suite is started once by a worker, and finished once."""
    worker = make_worker(tree="code")
    contexts = [run_context(started_at=START, shard={"index": n, "total": 2}) for n in (1, 2)]
    events = [
        recorded(context, *(passed(f"test_{n % 4}.py::test_{shard}_{n}") for n in range(50)), producer=f"p{shard}")
        for shard, context in enumerate(contexts)
    ]
    deliver_all(worker, [*events, decided(contexts[0])])
    routes = portal.requests.by_route
    assert routes["POST /api/v1/{project}/item"] == 4
    assert routes["POST /api/v1/{project}/item/{parent}"] == 100
    assert routes["PUT /api/v1/{project}/item/{uuid}"] == 104
    assert {item.status for item in only(portal).items} == {"PASSED"}


def test_shards_variants_and_workers_share_the_suites(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """A worker that has not heard of a suite finds it there; a test of two variants is two items in it."""
    for index, variant in enumerate(("py3.11", "py3.12")):
        context = run_context(started_at=START, variant=variant)
        deliver_all(make_worker(tree="code"), [recorded(context, passed("test_a.py::test_a"), producer=f"p{index}")])
    launch = only(portal)
    (suite,) = launch.children()
    assert [pairs(item.attributes) for item in launch.children(suite)] == [
        [("variant", "py3.11")],
        [("variant", "py3.12")],
    ]


def test_nothing_begins_before_its_suite(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """A suite begins with its launch: tests may come in any order, and keep their own beginnings."""
    context = run_context(started_at=START)
    early = passed("test_a.py::test_early", started_at=START)
    deliver_all(
        make_worker(tree="code"), [recorded(context, passed("test_a.py::test_b")), recorded(context, early, sequence=3)]
    )
    launch = only(portal)
    (suite,) = launch.children()
    assert suite.start_time == launch.start_time == launch.named("test_early").start_time


def test_a_suite_says_what_its_author_does_whichever_test_comes_first(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Only the first test of a process tells; a suite that was started without is told then, once, by any worker."""
    context = run_context(started_at=START)
    name = "pkg/test_a.py::TestA::test_{}"
    said = tuple(
        SuiteDescription(node_id=node_id, description=text)
        for node_id, text in (("pkg/test_a.py", "Carts.\n\nAnd more."), ("pkg/test_a.py::TestA", "🛒" * 2000))
    )
    first = recorded(context, passed(name.format(1), suites=said), passed("pkg/test_b.py::test_b"))
    later = [recorded(context, passed(name.format(n)), sequence=n) for n in (2, 3)]
    one, two = make_worker("state-1", tree="directory"), make_worker("state-2", tree="directory")
    deliver_all(one, [later[0]])
    portal.requests.clear()
    deliver_all(two, [first, later[1]])
    deliver_all(one, [first, recorded(context, passed(name.format(4), suites=said), sequence=5, producer="p2")])
    launch = only(portal)
    assert [launch.named(name).description for name in ("pkg", "test_a.py", "test_b.py")] == [
        None,
        "Carts.\n\nAnd more.",
        None,
    ]
    cut = launch.named("TestA").description or ""
    assert cut.startswith("🛒")
    assert cut.endswith(" characters)")
    assert portal.requests.by_route["PUT /api/v1/{project}/item/{id}/update"] == 2


def test_what_a_person_says_of_a_suite_stays(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """A docstring that comes later does not take its place."""
    context = run_context(started_at=START)
    worker = make_worker(tree="code")
    deliver_all(worker, [recorded(context, passed("test_a.py::test_a"))])
    send(portal, "PUT", f"item/{only(portal).named('test_a.py').id}/update", {"description": "flaky on Mondays"})
    docstring = SuiteDescription(node_id="test_a.py", description="Carts.")
    deliver_all(worker, [recorded(context, passed("test_a.py::test_b", suites=(docstring,)), sequence=3)])
    assert only(portal).named("test_a.py").description == "flaky on Mondays"


def test_a_retry_stays_in_its_own_suite(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The last attempt takes the place of the earlier ones, and the suite passes."""
    context = run_context(started_at=START)
    name = "test_a.py::TestA::test_flaky"
    events = [recorded(context, failed(name)), recorded(context, passed(name, attempt=2), sequence=3), decided(context)]
    deliver_all(make_worker(tree="code"), events)
    assert tree(only(portal)) == [
        (("test_a.py",), "SUITE", "PASSED"),
        (("test_a.py", "TestA"), "SUITE", "PASSED"),
        (("test_a.py", "TestA", "test_flaky"), "STEP", "PASSED"),
    ]
    assert only(portal).status == "PASSED"


def test_a_retry_never_takes_the_place_of_another_variants_test(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Its own first attempt has not come yet; ReportPortal would take the one of the same name for it."""
    worker = make_worker(tree="code")
    name = "test_a.py::test_a"
    one, two = (run_context(started_at=START, variant=variant) for variant in ("one", "two"))
    second = recorded(two, passed(name, attempt=2), producer="p2", sequence=3)
    worker.deliver(recorded(one, failed(name)), second)
    assert [item.retry_of for item in only(portal).items] == [None, None]
    deliver_all(worker, [recorded(two, failed(name), producer="p2"), second])
    (suite,) = only(portal).children()
    assert [(pairs(item.attributes)[-1], item.status) for item in only(portal).children(suite)] == [
        (("variant", "one"), "FAILED"),
        (("variant", "two"), "PASSED"),
    ]


@pytest.mark.parametrize("arranged", ["flat", "code"])
def test_what_the_ci_runs_again_replaces_all_attempts(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer, arranged: str
) -> None:
    """Also of a test that the first job had tried twice: it counts once, as it ended last."""
    worker = make_worker(tree=arranged)
    name = "test_a.py::test_a"
    first, again = run_context(started_at=START), run_context(started_at=START, attempt=2)
    deliver_all(worker, [recorded(first, failed(name), failed(name, attempt=2))])
    deliver_all(worker, [recorded(again, passed(name), producer="p2"), decided(again)])
    launch = only(portal)
    assert [item.status for item in launch.items if item.type == "STEP" and item.retry_of is None] == ["PASSED"]
    assert launch.status == "PASSED"


def test_a_launch_that_was_deleted_gets_its_suites_again(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """The process still believes in launch and suites: the first answer corrects that."""
    worker = make_worker(tree="code")
    context = run_context(started_at=START)
    worker.deliver(recorded(context, passed("test_a.py::test_a")))
    portal._portal.apply(lambda store: (store.launch_by_uuid.clear(), store.item_by_uuid.clear()))
    deliver_all(worker, [recorded(context, passed("test_a.py::test_b"), sequence=3)])
    assert tree(portal.launches[-1])[-1][0] == ("test_a.py", "test_b")
