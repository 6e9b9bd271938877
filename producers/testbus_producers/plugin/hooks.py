"""The pytest plugin `testbus`: options, and nothing else until publishing is switched on.

`--testbus`, or the variable TESTBUS_URL alone, switches it on; `--no-testbus` and `-p no:testbus` switch it off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

#: Options that name a part of the context: option → (variable, form, help).
_OPTIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "run": ("TESTBUS_RUN_ID", "ID", "id of the run (default: from the CI; else a new one)"),
    "project": ("TESTBUS_PROJECT", "NAME", "project (default: the repository's slug)"),
    "suite": ("TESTBUS_SUITE", "NAME", "suite (default: the CI's job)"),
    "stage": ("TESTBUS_STAGE", "NAME", "stage of the pipeline, as smoke, unit, integration"),
    "component": ("TESTBUS_COMPONENT", "NAME", "component that all of the run's tests and files belong to"),
    "variant": ("TESTBUS_VARIANT", "NAME", "environment in which the same tests run again, as py312"),
    "shard": ("TESTBUS_SHARD", "I/N", "part of the suite, as 2/4"),
}

#: Options of pytest with which no test runs.
_NO_TESTS: Final = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan", "setuponly", "cacheshow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("testbus", "publish results to a message broker")
    group.addoption(
        "--testbus",
        action="store_const",
        const=True,
        default=None,
        help="publish results to TESTBUS_URL (the default when that variable is set)",
    )
    group.addoption("--no-testbus", action="store_const", const=False, dest="testbus", help="publish nothing")
    for name, (variable, form, text) in _OPTIONS.items():
        group.addoption(f"--testbus-{name}", metavar=form, default=None, help=f"{text}; also {variable}")


def pytest_configure(config: pytest.Config) -> None:
    """Switch publishing on where it is wanted."""
    wanted = config.getoption("testbus")
    if wanted is False:
        return
    if any(config.getoption(option, None) for option in _NO_TESTS):
        from testbus_producers import settings  # noqa: PLC0415 nothing of ours is imported before it is wanted

        settings.note_no_tests()
        return
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        from testbus_producers import settings  # noqa: PLC0415 nothing of ours is imported before it is wanted

        if not wanted and not settings.url_is_set():
            return
        from testbus_producers.plugin import session  # noqa: PLC0415 the same

        session.activate(
            config, {variable: config.getoption(f"testbus_{name}") for name, (variable, _, _) in _OPTIONS.items()}
        )
    elif workerinput.get("testbus"):
        from testbus_producers.plugin import items as pytest_items  # noqa: PLC0415 the same

        items = pytest_items.WorkerItems(config, output=workerinput["testbus"])
        config.pluginmanager.register(items, pytest_items.NAME)
