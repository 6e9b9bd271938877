"""Exchange rates, as a service elsewhere tells them."""

_asked = 0


def rate(currency: str) -> float:
    """Return how much of a currency one euro is; the service is slow to wake up."""
    global _asked  # noqa: PLW0603 an example of code that is not steady
    _asked += 1
    if _asked == 1:
        raise TimeoutError("the rates did not arrive within 0.3 s")
    return {"EUR": 1.0, "USD": 1.1, "CHF": 0.95}[currency]
