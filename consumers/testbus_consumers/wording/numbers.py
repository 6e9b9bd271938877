"""How numbers are written: alike in every place, and cut, never rounded, so that none looks better than it is."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

#: Decimals that are shown.
DECIMALS: Final = 2

#: Decimals at most, where fewer would make a value look like the limit that it missed.
_MOST_DECIMALS: Final = 10

#: Decimals of a value that is kept for others to show.
_KEPT_DECIMALS: Final = 4

#: Digits for the largest number that there is.
_EXACT: Final = Context(prec=400)

_MINUTE, _HOUR = 60, 3600


def cut(value: float, decimals: int = DECIMALS) -> float:
    """Return a number without its further decimals, in decimal arithmetic: 4.35 stays 4.35, 99.996 becomes 99.99."""
    return float(_cut(value, decimals))


def kept(value: float, wanted: float) -> float:
    """Return a measured number as it is passed on: short, and never equal to a limit that it missed."""
    short = cut(value, _KEPT_DECIMALS)
    return value if short == wanted else short


def number(value: float, unit: str = "") -> str:
    """Return a number with at most two decimals and its unit, thousands apart: `1,204`, `83.63 %`, `1 test`."""
    return _with_unit(_text(value, DECIMALS), value, unit)


def limit(value: float, unit: str = "") -> str:
    """Return a number that somebody set, with every decimal that it was given."""
    return _with_unit(_text(value, _MOST_DECIMALS), value, unit)


def against(value: float, wanted: float, unit: str = "") -> str:
    """Return a measured number beside the limit that it is held against: they look alike only when they are."""
    decimals = next(
        (some for some in range(DECIMALS, _MOST_DECIMALS) if value == wanted or cut(value, some) != wanted),
        _MOST_DECIMALS,
    )
    return _with_unit(_text(value, decimals), value, unit)


def percent(value: float) -> str:
    """Return a percentage: `83.63 %`."""
    return number(value, "%")


def change(now: float, before: float) -> float:
    """Return how far apart two numbers are as they are shown: whoever subtracts them gets the same."""
    return float(_cut(now, DECIMALS) - _cut(before, DECIMALS))


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """Return a number of things: `1 test`, `1,204 tests`, `2 launches`."""
    return f"{count:,} {noun if count == 1 else plural_noun or f'{noun}s'}"


def seconds(length: float | None) -> str:
    """Return a length of time as a person says it; empty for None."""
    if length is None:
        return ""
    milliseconds = int(_cut(length * 1000, 0))
    if milliseconds < 1:
        return "< 1 ms"
    if length < 1:
        return f"{milliseconds} ms"
    if length < _MINUTE:
        return f"{_cut(length, 1)} s"
    whole = int(length)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR:,} h {whole % _HOUR // _MINUTE:02d} min"


def _cut(value: float, decimals: int) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN, _EXACT)


def _text(value: float, decimals: int) -> str:
    text = f"{_cut(value, decimals):,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _with_unit(text: str, value: float, unit: str) -> str:
    if unit == "tests" and value == 1:
        unit = "test"
    return f"{text} {unit}" if unit else text
