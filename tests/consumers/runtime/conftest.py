"""Sample consumers on a folder of their own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.consumers.runtime.samples import harness_of, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ConsumerHarness]]:
    """Return a factory: event → handler, and whatever else a consumer has, to its harness."""
    with ExitStack() as stack:

        def factory(handlers: Any, **more: Any) -> ConsumerHarness:
            return stack.enter_context(harness_of(sample(handlers, **more), tmp_path))

        yield factory
