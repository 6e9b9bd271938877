"""Receipts."""

from shop.cart import Cart


def euros(cents: int) -> str:
    """Write cents as euros."""
    return f"{cents // 100}.{cents % 100:02} EUR"


def receipt(cart: Cart) -> str:
    """Write a receipt, a line for each article."""
    lines = [f"{quantity} x {name}: {euros(price * quantity)}" for name, (price, quantity) in cart.items.items()]
    if cart.discount:
        lines.append(f"discount: -{euros(cart.discount)}")
    if cart.shipping:
        lines.append(f"shipping: {euros(cart.shipping)}")
    return "\n".join([*lines, f"total: {euros(cart.total)}"])
