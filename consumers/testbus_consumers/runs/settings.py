"""Settings of the consumer `runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from testbus_consumers.filters import matches_name
from testbus_consumers.settings import BASE_BRANCHES, BaseBranches, OverridesSettings, Section

if TYPE_CHECKING:
    from testbus_schemas import RunContext


class RunsSettings(Section):
    """Section `consumers.runs`. All deadlines count by this consumer's clock, while no event waits in its queue."""

    #: Seconds of silence after which a run that is not complete is given up.
    deadline_s: float = Field(default=900.0, gt=0)
    #: Seconds of silence after which a producer that sends heartbeats counts as lost, whatever others of its run do;
    #: at least two of its heartbeats.
    producer_deadline_s: float = Field(default=300.0, gt=0)
    #: Globs of the branches that others are compared with; unset: those of the whole configuration.
    base_branches: BaseBranches = BASE_BRANCHES
    #: What people may decide against the rules; unset: as for the whole configuration.
    overrides: OverridesSettings = OverridesSettings()
    #: MB of attached files that are kept of one run; unset: `state.attachments_mb_per_run`.
    attachments_mb_per_run: float = Field(default=8, ge=0)

    def is_base(self, context: RunContext) -> bool:
        """Tell whether others are compared with a run: it is of a base branch, and of no pull request."""
        return context.pull_request is None and matches_name(context.branch, self.base_branches)
