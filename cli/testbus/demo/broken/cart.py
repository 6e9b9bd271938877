"""A shopping cart: amounts are whole cents."""

from dataclasses import dataclass, field

#: Percent off from so many cents on, best first.
DISCOUNTS = ((10_000, 10), (5_000, 5))

#: Cents of shipping, and from how many cents on it is free.
SHIPPING, FREE_FROM = 490, 5_000


@dataclass
class Cart:
    """What a customer wants to buy."""

    items: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, price: int, quantity: int = 1) -> None:
        """Add some of an article."""
        if price < 0 or quantity < 1:
            raise ValueError(f"{quantity} x {name} at {price}: neither a gift nor nothing can be bought")
        before = self.items.get(name, (price, 0))[1]
        self.items[name] = (price, before + quantity)

    def remove(self, name: str) -> None:
        """Take an article out."""
        if name not in self.items:
            raise KeyError(name)
        del self.items[name]

    @property
    def subtotal(self) -> int:
        """Sum of the articles."""
        return sum(price * quantity for price, quantity in self.items.values())

    @property
    def discount(self) -> int:
        """What is taken off."""
        best = max(limit for limit, _ in DISCOUNTS if self.subtotal >= limit)
        percent = dict(DISCOUNTS)[best]
        return self.subtotal * percent // 100

    @property
    def shipping(self) -> int:
        """What sending costs."""
        return 0 if not self.items or self.subtotal >= FREE_FROM else SHIPPING

    @property
    def total(self) -> int:
        """What the customer pays."""
        return self.subtotal - self.discount + self.shipping
