"""The rules that a configuration can name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from testbus_consumers.gates.coverage_rules import BranchCoverage, Coverage
from testbus_consumers.gates.outcome_rules import Failures, PassRate, Tests

#: Every rule, told apart by its key `rule`.
Rule = Annotated[PassRate | Failures | Tests | Coverage | BranchCoverage, Field(discriminator="rule")]
