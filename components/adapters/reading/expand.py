"""From a listed object to readable members: gzip and zip opened as streams, with caps, and every fault a DataError."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol, cast

from components.adapters.ports import Listed, Sources
from components.core.errors import DataError

Format = Literal["csv", "jsonl", "parquet"]
ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
MAX_RATIO = 200
"""An archive may expand to this many times its size, or to `ALWAYS` bytes, whichever is more."""
ALWAYS = 1024**3
MAX_MEMBERS = 10_000
_PIECE = 1024 * 1024


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """One readable table: its name (ARCHIVE!MEMBER in a zip), its format and its decompressed bytes."""

    name: str
    format: Format
    stream: Readable


def members(sources: Sources, listed: Listed, declared: Format | None, scratch: Path) -> Iterator[Member]:
    """The tables in one listed object, each to be read before the next is asked for.

    Raises
    ------
    DataError
        The object or a member is empty, no table, damaged, unsafe by name, or expands beyond the caps.
    """
    if listed.bytes == 0:
        remedy = "Write it again, or take it out of the source."
        raise DataError("source", "hold data", "an empty file", remedy, where=listed.path)
    with sources.open(listed) as raw:
        yield from _Expander(declared, max(ALWAYS, MAX_RATIO * listed.bytes), scratch).expand(listed.path, raw)


class _Expander:
    def __init__(self, declared: Format | None, cap: int, scratch: Path) -> None:
        self._declared, self._cap, self._scratch = declared, cap, scratch
        self._expanded = 0

    def expand(self, name: str, stream: IO[bytes], *, inside: str = "") -> Iterator[Member]:
        """`inside` is the archive's name, for a member of one."""
        shown = f"{inside}!{name}" if inside else name
        ending = Path(name).suffix.lower()
        if ending == ".gz":
            with gzip.GzipFile(fileobj=stream) as plain:
                yield from self._table(name[:-3], shown, _Checked(cast(Readable, plain), self, shown))
        elif ending == ".zip" and not inside:
            yield from self._zip(name, stream)
        else:
            yield from self._table(name, shown, stream)

    def _table(self, name: str, shown: str, stream: Readable) -> Iterator[Member]:
        found = self._declared or ENDINGS.get(Path(name).suffix.lower())
        if found is None:
            remedy = "Rename it, name a glob that leaves it out, or set 'format' in the source."
            rule = f"end in {', '.join(ENDINGS)}, with or without .gz, or stand in a .zip"
            raise DataError("source", rule, Path(name).name, remedy, where=shown)
        yield Member(shown, found, stream)

    def _zip(self, name: str, stream: IO[bytes]) -> Iterator[Member]:
        with self._seekable(stream) as seekable, _open_zip(name, seekable) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            for info in infos:
                _check_name(info.filename, name)
            infos = [info for info in infos if not _hidden(info.filename)]
            if not 0 < len(infos) <= MAX_MEMBERS:
                remedy = "Pack the tables anew."
                raise DataError("archive", f"hold 1 to {MAX_MEMBERS} files", len(infos), remedy, where=name)
            self.spend(name, sum(info.file_size for info in infos), so_far=0)
            for info in sorted(infos, key=lambda info: info.filename):
                shown = f"{name}!{info.filename}"
                if info.flag_bits & 1:
                    raise DataError("archive", "not be encrypted", info.filename, "Pack it anew.", where=name)
                try:
                    opened = archive.open(info)
                except (zipfile.BadZipFile, NotImplementedError) as error:
                    raise _damaged(shown, error) from error
                with opened:
                    checked = cast(IO[bytes], _Checked(cast(Readable, opened), self, shown))
                    yield from self.expand(info.filename, checked, inside=name)

    def _seekable(self, stream: IO[bytes]) -> IO[bytes]:
        return stream if stream.seekable() else spool(stream, self._scratch)

    def spend(self, name: str, size: int, *, so_far: int | None = None) -> None:
        """Counts expanded bytes; refuses more than the cap."""
        total = (self._expanded if so_far is None else so_far) + size
        if so_far is None:
            self._expanded = total
        if total > self._cap:
            rule = f"expand to at most {self._cap} bytes"
            remedy = "Give it unpacked, if it is what it should be."
            raise DataError("archive", rule, f"more than {self._cap}", remedy, where=name)


class _Checked:
    """A decompressing stream that counts what it gives and tells damage as a DataError."""

    def __init__(self, stream: Readable, expander: _Expander, name: str) -> None:
        self._stream, self._expander, self._name = stream, expander, name

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size if size >= 0 else _PIECE)
        except (EOFError, zlib.error, lzma.LZMAError, OSError, zipfile.BadZipFile) as error:  # bz2 and gzip: OSError
            raise _damaged(self._name, error) from error
        self._expander.spend(self._name, len(data))
        return data

    def seekable(self) -> bool:
        return False


def spool(stream: Readable, scratch: Path) -> IO[bytes]:
    """A seekable copy, in a file that has no name: it goes with the process, however that ends."""
    file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  # closed by its user
    shutil.copyfileobj(stream, file, _PIECE)
    file.seek(0)
    return file


def _open_zip(name: str, stream: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except zipfile.BadZipFile as error:
        raise _damaged(name, error) from error


def _check_name(member: str, archive: str) -> None:
    parts = member.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":") or "\0" in member:
        rule = "hold only relative names without '..'"
        raise DataError("archive", rule, member, "Pack it anew; do not trust this one.", where=archive)


def _hidden(member: str) -> bool:
    """A dot file, or what macOS and Spark leave beside the data."""
    return any(part.startswith((".", "_")) for part in member.split("/"))


def _damaged(name: str, error: Exception) -> DataError:
    return DataError("archive", "be whole", f"{type(error).__name__}: {error}", "Fetch or write it again.", where=name)
