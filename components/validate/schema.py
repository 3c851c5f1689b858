"""The schema of a case's columns: read, inferred, brought up to date, and told apart from another.

    python -m components.validate.schema --events DIR --case-json FILE --schema PATH [--write]

writes a first `schema.pbtxt`, or says what the events would change in the one that is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core import artifacts, declared
from components.core.case import Case, Column
from components.core.columns import ColumnType
from components.core.errors import CaseError, EsteiraError
from components.validate import measure
from components.validate.compare import changes

FILE = "schema.pbtxt"
MOST_VALUES = 100
"""A string column of more distinct values is no category."""
MASS = 0.95
"""The share of values that must lie in an inferred domain."""

_TYPES: dict[ColumnType, str] = {"number": "FLOAT", "bool": "INT", "timestamp": "INT", "string": "BYTES", "id": "BYTES"}
_HEAD = "# What the columns of {name} must be. Read it and mend it: it stops a run that does not fit.\n"
_REMEDY = "Mend that line, or write the file anew with `esteira schema CASE --write`."


def parse(text: str | bytes, *, where: str = FILE) -> Any:
    """The `Schema` in a `schema.pbtxt`.

    Raises
    ------
    CaseError
        It is no schema in text form, or describes no column, or one without name or type, twice, or by a domain that
        is not there.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    try:
        text_format.Parse(text.decode() if isinstance(text, bytes) else text, schema)
    except UnicodeDecodeError as error:
        raise CaseError(FILE, "be UTF-8", str(error), _REMEDY, where=where) from error
    except text_format.ParseError as error:
        line = f"line {error.GetLine()}: {str(error).partition(' : ')[2]}"
        raise CaseError(FILE, "be a schema in protobuf's text form", line, _REMEDY, where=where) from error
    _check(schema, where)
    return schema


def _check(schema: Any, where: str) -> None:
    domains = {domain.name for domain in schema.string_domain}
    names: set[str] = set()
    if not schema.feature:
        raise CaseError(FILE, "describe at least one column", "none", _REMEDY, where=where)
    for position, feature in enumerate(schema.feature, 1):
        name = feature.name or f"feature {position}"
        if not feature.name:
            raise CaseError(name, "have a name", "none", _REMEDY, where=where)
        if feature.name in names:
            raise CaseError(name, "be described once", "twice", _REMEDY, where=where)
        if not feature.type:
            raise CaseError(name, "have a type", "none", _REMEDY, where=where)
        if feature.WhichOneof("domain_info") == "domain" and feature.domain not in domains:
            raise CaseError(name, "name a string_domain of the file", feature.domain, _REMEDY, where=where)
        names.add(feature.name)


def first(case: Case, statistics: Any) -> Any:
    """A schema of the case's types and required columns, with the categories that the data shows."""
    inferred = measure.tfdv().infer_schema(statistics, max_string_domain_size=MOST_VALUES)
    values = {domain.name: domain for domain in inferred.string_domain}
    schema = type(inferred)()
    for name, column in case.columns.items():
        feature = schema.feature.add(name=name)
        _declare(feature, column)
        if column.type == "string" and name in values:
            feature.domain = name
            feature.distribution_constraints.min_domain_mass = MASS
            schema.string_domain.add().CopyFrom(values[name])
    return schema


def _declare(feature: Any, column: Column) -> None:
    """What the case says of a column: its type, and that it is never missing."""
    feature.type = feature.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_name[_TYPES[column.type]].number
    if not column.missing:
        feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
    if column.type == "bool":
        feature.bool_domain.SetInParent()
    elif column.type == "timestamp":
        kinds = feature.time_domain.DESCRIPTOR.enum_types_by_name["IntegerTimeFormat"]
        feature.time_domain.integer_format = kinds.values_by_name["UNIX_MICROSECONDS"].number


def updated(schema: Any, case: Case, statistics: Any) -> Any:
    """The schema widened until the events fit, with the case's columns; what else a person wrote into it stays."""
    wider = measure.tfdv().update_schema(schema, statistics, max_string_domain_size=MOST_VALUES)
    known = {feature.name: feature for feature in schema.feature}
    kept = {feature.name: feature for feature in wider.feature}
    anew = first(case, statistics)
    made = type(schema)()
    made.CopyFrom(wider)
    del made.feature[:], made.string_domain[:]
    for new in anew.feature:
        stays = new.name in known and known[new.name].type == new.type
        feature = made.feature.add()
        feature.CopyFrom(kept[new.name] if stays else new)
        if not case.columns[new.name].missing:
            feature.presence.CopyFrom(new.presence)
        source = wider if stays else anew
        if feature.WhichOneof("domain_info") == "domain" and feature.domain not in {d.name for d in made.string_domain}:
            made.string_domain.extend(d for d in source.string_domain if d.name == feature.domain)
    return made


def render(schema: Any, name: str) -> str:
    """The text of a `schema.pbtxt` for the case called `name`."""
    from google.protobuf import text_format

    return _HEAD.format(name=name) + str(text_format.MessageToString(schema))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line per change; the exit code of the error, if there is one."""
    parser = argparse.ArgumentParser(prog="python -m components.validate.schema", description=(__doc__ or "").strip())
    parser.add_argument("--events", type=Path, required=True, help="an events artifact")
    parser.add_argument("--case-json", type=Path, required=True, help="the resolved case")
    parser.add_argument("--schema", type=Path, required=True, help="the schema.pbtxt to write or to compare with")
    parser.add_argument("--write", action="store_true", help="write the changes into a schema that is there")
    given = parser.parse_args(arguments)
    try:
        case = declared.validate(Case, json.loads(given.case_json.read_bytes()), where=str(given.case_json))
        for line in propose(given.events, case, given.schema, write=given.write):
            print(line, flush=True)
    except EsteiraError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def propose(events: Path, case: Case, path: Path, *, write: bool) -> list[str]:
    """Writes a first schema to `path`, or tells what would change there and changes it if asked; lines for a person."""
    old = parse(path.read_bytes(), where=str(path)) if path.exists() else None
    statistics = measure.of_events(events, artifacts.read_manifest(events, "events"), case)
    new = first(case, statistics) if old is None else updated(old, case, statistics)
    lines = [] if old is None else changes(old, new)
    if old is not None and not lines:
        return ["nothing to change: the events fit the schema"]
    if old is None or write:
        artifacts.atomic_write(path, render(new, case.name).encode())
        return [*lines, f"wrote {path} ({len(new.feature)} columns)"]
    return [*lines, f"{path} is as it was: give --write to change it"]


if __name__ == "__main__":
    sys.exit(main())
