"""What names a run in every table: its project, and its id, which another project's run may have as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from sqlalchemy import Column, String, bindparam

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row, Table

    from testbus_schemas import RunContext


class RunKey(NamedTuple):
    """A run of a project."""

    project: str
    #: Run id.
    run: str

    @classmethod
    def of(cls, named: RunContext | Row[*tuple[Any, ...]]) -> Self:
        """Return the key of the run that a context, or a row with `run_columns()`, is of."""
        return cls(named.project, named.run)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that `str` made this text of."""
        project, _, run = text.partition("/")
        return cls(project, run)

    def __str__(self) -> str:
        """Return it as text, as timers are named by it: no project's name has a slash."""
        return f"{self.project}/{self.run}"

    def rows(self, table: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """Return what selects the run's rows of a table that has `run_columns()`."""
        return table.c.project == self.project, table.c.run == self.run

    @property
    def values(self) -> dict[str, Any]:
        """Return the values of `run_columns()`."""
        return self._asdict()


def run_columns() -> tuple[Column[str], Column[str]]:
    """Return the columns of a table with rows about runs."""
    return Column("project", String(64), nullable=False), Column("run", String(256), nullable=False)


def rows_of_run(table: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return what selects the rows of the run that a statement made once is executed with (a key's `values`)."""
    return table.c.project == bindparam("project"), table.c.run == bindparam("run")
