"""Settings of the consumer `runs`."""

from __future__ import annotations

from pydantic import Field

from testbus_consumers.settings import Section


class RunsSettings(Section):
    """Section `consumers.runs`. All deadlines count by this consumer's clock, while no event waits in its queue."""

    #: Seconds of silence after which a run that is not complete is given up.
    deadline_s: float = Field(default=900.0, gt=0)
    #: Seconds of silence after which a producer that sends heartbeats counts as lost, whatever others of its run do;
    #: at least two of its heartbeats.
    producer_deadline_s: float = Field(default=300.0, gt=0)
