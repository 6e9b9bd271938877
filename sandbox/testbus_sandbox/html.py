"""The sandbox's pages, made from templates: each is one self-contained document, readable on a phone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from datetime import datetime, timedelta

#: Seconds in a minute and in an hour.
_MINUTE: Final = 60
_HOUR: Final = 3600


def page(template: str, **values: Any) -> web.Response:
    """Return a page made from a template of the folder `templates`; whatever is shown in it is escaped."""
    text = _environment().get_template(f"{template}.html.j2").render(values)
    return web.Response(text=text, content_type="text/html")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("testbus_sandbox", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"colour": colour, "moment": moment, "span": span, "is_web": is_web}
    return environment


def is_web(url: str) -> bool:
    """Tell whether an address may be linked."""
    return url.startswith(("http://", "https://"))


def colour(status: str) -> str:
    """Return the CSS colour of a status."""
    known = {"INFO": "PASSED", "WARN": "PASSED", "INTERRUPTED": "FAILED", "STOPPED": "FAILED", "CANCELLED": "SKIPPED"}
    name = known.get(status, status)
    return f"var(--{name if name in {'PASSED', 'FAILED', 'SKIPPED', 'IN_PROGRESS'} else 'other'})"


def moment(value: datetime) -> str:
    """Return an instant for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def span(value: timedelta) -> str:
    """Return a duration for people."""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
