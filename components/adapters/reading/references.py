"""A reference table, read whole from the files of its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components.adapters.ports import Listed, Sources
from components.adapters.reading.intake import DeadLetter, Intake
from components.core.arrow import arrow_schema
from components.core.case import Reference


def read(
    name: str, reference: Reference, listing: Sequence[Listed], sources: Sources, dead: DeadLetter, scratch: Path
) -> pa.Table:
    """The table in memory, sorted by keys and time; of equal ones the source's order stays.

    Raises
    ------
    DataError
        A file cannot be read, or more of its rows are bad than may be.
    """
    keys = [*reference.by.values(), *([reference.time] if reference.time is not None else [])]
    # A row without its key or time can be joined to nothing.
    columns = {
        n: column.model_copy(update={"missing": column.missing and n not in keys})
        for n, column in reference.columns.items()
    }
    intake = Intake(reference.source, columns, listing, dead, lambda _: None)
    tables = [rows.table for rows in intake.rows(sources, scratch)]
    intake.check(name)
    schema = arrow_schema({n: column.type for n, column in columns.items()})
    table = pa.concat_tables([schema.empty_table(), *tables])
    return table.take(pc.sort_indices(table, [(key, "ascending") for key in keys]))
