"""Exchange rates, as a service elsewhere tells them."""


def rate(currency: str) -> float:
    """Return how much of a currency one euro is."""
    return {"EUR": 1.0, "USD": 1.1, "CHF": 0.95}[currency]
