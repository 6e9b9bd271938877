"""What exchange rates say."""

import pytest
from shop.rates import rate


@pytest.mark.flaky(reruns=2)
def test_a_euro_is_a_euro() -> None:
    assert rate("EUR") == 1.0
