"""Results as any runner could make them."""

from __future__ import annotations

import testbus


def passed(node_id: str) -> testbus.Result:
    """Return a result."""
    return testbus.Result(node_id=node_id, outcome=testbus.Outcome.PASSED, duration_s=0.1)


def failed(node_id: str, message: str = "no such price") -> testbus.Result:
    """Return a result with its reason."""
    wrong = testbus.Failure(type="ValueError", message=message, text=f"ValueError: {message}")
    return testbus.Result(node_id=node_id, outcome=testbus.Outcome.FAILED, duration_s=0.1, failures=(wrong,))
