"""Attached files: what goes along, what is only named, and what a report must not reach."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from harness.examples import CONTEXT
from testbus_producers.spool import event_builder
from testbus_schemas import ArtifactRecorded
from testbus_schemas.artifacts import MAX_CONTENT_BYTES
from tests.producers.readers.reading import records, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project folder with a neighbour that is none of its business."""
    (tmp_path / "secret.txt").write_text("the neighbour's", encoding="utf-8")
    root = tmp_path / "project"
    (root / "out").mkdir(parents=True)
    return root


def attached(project: Path, target: str) -> dict[str, Any]:
    """Return what is said of a target that a report in `out` names."""
    text = f"""<testsuite name="s"><testcase classname="c" name="t">
        <system-out>[[ATTACHMENT|{target}]]</system-out></testcase></testsuite>"""
    _, found = records(written(project / "out", text), project)
    (data,) = (one.data for one in found if one.kind == event_builder.ARTIFACT)
    ArtifactRecorded(context=CONTEXT, **data)
    return data


def content(data: dict[str, Any]) -> bytes | None:
    """Return what goes along."""
    return base64.b64decode(data["content"]) if "content" in data else None


@pytest.mark.parametrize("target", ["shot.png", "out/shot.png"])
def test_a_small_file_goes_along(project: Path, target: str) -> None:
    """Its path may be relative to the report or to the project."""
    (project / "out" / "shot.png").write_bytes(b"\x89PNG")
    data = attached(project, target)
    assert (data["name"], data["media_type"], data["path"]) == ("shot.png", "image/png", "out/shot.png")
    assert content(data) == b"\x89PNG"


def test_a_large_file_is_only_named(project: Path) -> None:
    """Above the bound nobody's queue gets it."""
    (project / "out" / "trace.zip").write_bytes(b"x" * (MAX_CONTENT_BYTES + 1))
    assert content(attached(project, "trace.zip")) is None
    (project / "out" / "full.zip").write_bytes(b"x" * MAX_CONTENT_BYTES)
    assert len(content(attached(project, "full.zip")) or b"") == MAX_CONTENT_BYTES


def test_texts_are_redacted(project: Path) -> None:
    """A log is where secrets are."""
    (project / "out" / "server.txt").write_text("password=hunter22 é", encoding="utf-8")
    assert content(attached(project, "server.txt")) == "password=[redacted] é".encode()


@pytest.mark.parametrize("target", ["../../secret.txt", "link.txt", "/etc/hostname", "nothing.txt", "out", "a\x85b"])
def test_what_is_not_the_project_s_is_only_named(project: Path, target: str) -> None:
    """Neither by dots nor by links nor by absolute paths."""
    (project / "out" / "link.txt").symlink_to(project.parent / "secret.txt")
    assert content(attached(project, target)) is None


def test_an_address_is_an_address(project: Path) -> None:
    """Nothing is fetched."""
    data = attached(project, "https://ci.example/4711/shot.png?size=1")
    assert (data["name"], data["media_type"]) == ("shot.png", "image/png")
    assert data["url"] == "https://ci.example/4711/shot.png?size=1"
