"""The documentation says what is true: its configuration is valid, its code runs, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import pytest
import yaml

from testbus.main import cli
from testbus_consumers import registry
from testbus_consumers.gates.rules import Rule
from testbus_consumers.registry import BUILT_IN, load_consumer
from testbus_consumers.settings import BrokerSettings, RedisSettings, Settings, StateSettings, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
#: Runs a test once for each page.
NAMED = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def inline(page: Path) -> list[str]:
    """Return what stands in code within a page's sentences and tables."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def anchors(page: Path) -> set[str]:
    """Return what a link may name within a page, as GitHub makes it of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> set[str]:
    """Return every command, and every group."""
    context = click.Context(cli)
    return set(cli.list_commands(context))


@NAMED
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link is a file of the repository, and its anchor a heading there: on GitHub, as on the site."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    targets = [((page.parent / link).resolve() if link else page, anchor) for link, anchor in links]
    missing = [(str(file), anchor) for file, anchor in targets if not file.exists()]
    missing += [(str(file), anchor) for file, anchor in targets if anchor and anchor not in anchors(file)]
    assert missing == []


@NAMED
def test_lines_fit_a_screen(page: Path) -> None:
    """A line has at most 120 characters; rows of tables and what a command prints are as long as they are."""
    text = re.sub(r"^```text\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_docs_are_a_site_without_broken_links(tmp_path: Path) -> None:
    """Every page is in the navigation, and every link and anchor leads somewhere: each warning is an error."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "consumers.html").is_file()


@NAMED
def test_only_commands_that_exist_are_named(page: Path) -> None:
    """What stands behind `testbus` in code is a command."""
    code = "\n".join([*inline(page), *blocks(page, "sh")])
    named = set(re.findall(r"(?:^|; )testbus ([a-z]+)", code, re.MULTILINE))
    assert named - commands() == set()


def test_the_configuration_in_the_docs_is_valid() -> None:
    """Every YAML block of the page is a configuration that `testbus config validate` takes."""
    for block in blocks(ROOT / "docs" / "configuration.md", "yaml"):
        registry.instances(parse(Settings, yaml.safe_load(block), "docs/configuration.md"))


def keys() -> Iterator[str]:
    """Yield every key that a configuration can have."""
    rules = get_args(get_args(Rule)[0])
    consumers = [load_consumer(name).settings for name in BUILT_IN]
    for model in (BrokerSettings, StateSettings, RedisSettings, *consumers, *rules):
        yield from model.model_fields


def test_the_docs_name_every_key() -> None:
    """A key that is not on the page does not exist for its reader."""
    words = set(re.findall(r"[a-z_]+", " ".join(inline(ROOT / "docs" / "configuration.md"))))
    assert set(keys()) - words - {"rule"} == set()


def test_the_consumer_in_the_docs_works(tmp_path: Path) -> None:
    """The page's code runs as it stands, its test included."""
    names: dict[str, object] = {"__name__": "my_package.slow"}
    for block in blocks(ROOT / "docs" / "consumers.md", "python"):
        # The page is a module: its annotations may name what is imported further down.
        exec(compile("from __future__ import annotations\n" + block, "docs/consumers.md", "exec"), names)
    names["test_slow_tests_are_counted"](tmp_path)  # type: ignore[operator]
