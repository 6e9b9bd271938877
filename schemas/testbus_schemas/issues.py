"""Issues: which entry of a tracker stands for a failure's root cause."""

from __future__ import annotations

from pydantic import Field

from testbus_schemas.events import EventData
from testbus_schemas.model import OpenEnum


class IssueAction(OpenEnum):
    """What became of an issue."""

    #: It was filed for this run.
    CREATED = "created"
    #: It was there, and now tells of this run too.
    UPDATED = "updated"
    #: A value that a newer consumer knows and this code does not.
    UNKNOWN = "unknown"


class IssueLinked(EventData):
    """An issue stands for a root cause that tests of the context's run failed for."""

    #: Identity of the root cause.
    fingerprint: str = Field(min_length=1)
    #: Kind of tracker: jira.
    tracker: str = Field(min_length=1)
    #: The issue's key there, as `SHOP-17`.
    key: str = Field(min_length=1)
    #: Address of the issue's page.
    url: str
    #: The issue's title.
    title: str = ""
    #: Name of the issue's status, in the tracker's own words; empty when it is not known.
    status: str = ""
    #: The first tests of this run that failed for it.
    node_ids: tuple[str, ...] = ()
    #: How many tests of this run failed for it; 0 when that is not known.
    total: int = Field(default=0, ge=0)
    #: What became of the issue.
    action: IssueAction


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
