"""Section `consumers.regressions`."""

from __future__ import annotations

from pydantic import Field

from testbus_consumers.settings import BASE_BRANCHES, BaseBranches, Components, CoverageSettings, Section


class RegressionsSettings(Section):
    """Section `consumers.regressions`."""

    #: Branches that others are compared with, and whose own complete runs are compared with the one before: globs;
    #: unset: those of the whole configuration.
    base_branches: BaseBranches = BASE_BRANCHES
    #: Those of the whole configuration: coverage is compared for each; without any, for all files together.
    components: Components = Field(default_factory=dict, exclude=True)
    #: Percentage points that a component's coverage has to fall by.
    min_drop: float = Field(default=0.5, gt=0, le=100)
    #: Runs that a test's history reaches back, on each base branch; as many of all other branches together.
    history: int = Field(default=50, ge=3, le=1000)
    #: A known flaky test counts as broken once it fails for more runs in a row than before, and so many would be chance
    #: in fewer cases than this.
    flaky_chance: float = Field(default=0.001, gt=0, lt=1)
    #: Tests that fail together in a run from which on their failure says less about each of them: that they are flaky
    #: takes such evidence on two commits.
    shared_failure: int = Field(default=3, ge=2)
    #: Tests that fail together in a run from which on it is an outage, and no evidence that any of them is flaky.
    outage: int = Field(default=10, ge=2)
    #: Causes reported at once; more of them are reported as one.
    max_causes: int = Field(default=20, ge=1)
    #: Where measured files are in the repository; unset: what the section `coverage` says.
    coverage: CoverageSettings = CoverageSettings()
