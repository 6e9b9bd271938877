"""Launches: where a run can be seen in ReportPortal."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.events import EventData


class LaunchLinked(EventData):
    """The context's run is a launch of a ReportPortal."""

    #: Name of the target in the configuration, as `eu`.
    target: str = Field(min_length=1)
    #: The launch's uuid.
    uuid: str = Field(min_length=1)
    #: Its number among the launches of its name; None when ReportPortal did not say.
    number: int | None = None
    #: Address of its page.
    url: str
