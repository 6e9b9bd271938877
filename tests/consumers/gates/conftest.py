"""Runs to be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.consumers.gates.judged import Judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Callable[..., Judged]]:
    """Return a factory: rules to the two consumers."""
    made: list[Judged] = []

    def factory(*rules: dict[str, Any], **settings: Any) -> Judged:
        folder = tmp_path / str(len(made))
        made.append(Judged(folder, {"rules": list(rules), **settings} if rules else None))
        return made[-1]

    yield factory
    for one in made:
        one.close()
