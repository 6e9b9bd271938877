"""The example of a consumer of one's own works as it stands in the repository."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_consumers.testing import ConsumerHarness

if TYPE_CHECKING:
    from testbus_consumers.runtime import Consumer

EXAMPLE = Path(__file__).parents[2] / "examples" / "archive"


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """Give the example's consumer, as its entry point names it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, attribute = project["entry-points"]["testbus.consumers"]["archive"].partition(":")
    monkeypatch.syspath_prepend(EXAMPLE)
    consumer: Consumer = getattr(importlib.import_module(module), attribute)
    return consumer


def test_every_event_is_one_line_however_often_it_comes(archive: Consumer, tmp_path: Path) -> None:
    """Events in, lines out."""
    events = FakeProducer().whole(test_a="passed", test_b="failed")
    with ConsumerHarness(archive, tmp_path / "state", {"folder": str(tmp_path / "archive")}) as harness:
        harness.deliver(*events, *events)
    lines = (tmp_path / "archive" / "web.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [event.id for event in events]


def test_it_fits_a_screen() -> None:
    """A new consumer is one small file."""
    assert len((EXAMPLE / "testbus_archive.py").read_text(encoding="utf-8").splitlines()) <= 40
