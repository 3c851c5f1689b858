"""The ports: what a task may ask of the outside world. One contract suite runs against every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from components.core.columns import ColumnType
    from components.core.evaluated import Evaluation


class Blobs(Protocol):
    """Small objects by name ('a/b/c'). A write is whole or not there; a generation changes with the content."""

    def read(self, name: str) -> tuple[bytes, int]:
        """The bytes and their generation. Raises ArtifactError where there is none."""
        ...

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> int:
        """Writes and returns the new generation.

        `generation` is what must be there now: 0 for nothing, None for anything. Raises ConflictError otherwise.
        """
        ...

    def exists(self, name: str) -> bool: ...

    def names(self, prefix: str) -> list[str]:
        """Names that start with `prefix`, sorted."""
        ...

    def delete(self, name: str) -> None:
        """Deletes; absent is no error."""
        ...

    def address(self, name: str) -> str:
        """Where it is, for programs: a file's path, or gs://…."""
        ...

    def link(self, name: str) -> str:
        """Where a person opens it: a file's path, or a URL for the browser."""
        ...


@dataclass(frozen=True)
class Listed:
    """One object of a source: its address, size in bytes and a token that changes with its content."""

    path: str
    bytes: int
    token: str


@dataclass(frozen=True)
class Bounds:
    """The rows whose time in `column` lies in [start, stop); microseconds, None for open."""

    column: str
    start: int
    stop: int | None = None


@dataclass(frozen=True)
class Scan:
    """Rows of a table as they come, and the bytes that are billed for them."""

    bytes: int
    batches: Iterator[pa.RecordBatch]


class Sources(Protocol):
    """Where events and reference tables come from."""

    def listing(self, path: str) -> list[Listed]:
        """The objects that a path, glob, folder or URL names, sorted. Raises DataError where there is none."""
        ...

    def open(self, listed: Listed) -> IO[bytes]:
        """The raw bytes, as stored (not decompressed)."""
        ...

    def scan(self, listed: Listed, columns: Mapping[str, ColumnType], bounds: Bounds | None = None) -> Scan:
        """A stored table's or query's columns, the rows of the bounds at least, in no order: one snapshot.

        Raises DataError where a column is not there or of a type that is read as no such one, or where it reads more
        than may be billed.
        """
        ...


@dataclass(frozen=True)
class Written:
    """When a window was last written (seconds since 1970), and a token that changes with each writing."""

    at: float
    token: str


class Tables(Protocol):
    """Named tables, written a window at a time: writing the same window again replaces it."""

    @property
    def pause(self) -> float:
        """Seconds that whoever watches a table should leave between two looks: where each is billed, more than none."""
        ...

    def replace(self, table: str, window: str, rows: pa.Table, *, after: str | None = None) -> None:
        """Writes the window whole.

        `after` is the token of its last writing that must still be so: "" for none, None for any. Who reads a window
        to write it anew asks for the token first, reads, and names it here. Raises ConflictError otherwise.
        """
        ...

    def append(self, table: str, window: str, rows: pa.Table, *, key: str) -> None:
        """Adds the rows to a window; durable once it has returned, and cheap enough for a stream.

        At least once: what is appended again (a lost answer, a writer that was killed) is read once, as of the
        appended rows of a window with an equal value in the column `key` the last one counts. What `replace` writes
        takes the place of all that was appended before; nobody else appends meanwhile.
        """
        ...

    def windows(self, table: str) -> list[str]:
        """The windows written so far, sorted by name: it begins with the time, so a month stands before its days."""
        ...

    def written(self, table: str, bounds: Bounds | None = None) -> dict[str, Written]:
        """The same windows, sorted, each with its last writing: what has changed is known without reading it.

        Of what was appended, rows outside the bounds may count for nothing, which makes a look cheaper.
        """
        ...

    def read(self, table: str, *, window: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, or one window's. Raises DataError where the table does not exist."""
        ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Reads with SQL over the tables by name; values bound as $name."""
        ...

    def resource(self, table: str) -> str:
        """What people query in the cloud (project.dataset.rows_TABLE), for lineage; "" where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One event as its producer sent it: JSON of the case's columns, and attributes.

    `id` names the event for deduplication; `kind` is "event" or "label" (the same row, with its label's columns).
    """

    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    arrived: int | None = field(default=None, compare=False)
    """When the topic took it, in microseconds since 1970: the topic says so, not the producer."""


@dataclass(frozen=True, slots=True)
class Received:
    message: Message
    token: str
    """What acknowledges it: a log's offset, or a server's acknowledgement id."""


class Subscription(Protocol):
    """A consumer group's view of a topic: at least once, in order. Nothing may come while what was pulled is open."""

    def pull(self, most: int, wait: float) -> list[Received]:
        """Up to `most` messages; waits at most `wait` seconds for the first, and then gives an empty list."""
        ...

    def ack(self, received: Sequence[Received]) -> None:
        """These are done with. Once this has returned, those with none open before them never come again."""
        ...

    def close(self) -> None:
        """What was pulled and not acknowledged comes again to the group."""
        ...


class Events(Protocol):
    """Topics of messages, in the order of arrival."""

    def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Durable once it has returned; in order. Raises RunError where it could not be, DataError for a bad one."""
        ...

    def bury(self, messages: Sequence[Message]) -> None:
        """Messages that were not taken, to the dead-letter topic; where there is none, nothing happens."""
        ...

    def subscribe(self, topic: str, group: str) -> Subscription:
        """The group begins with what is published after its first subscription, or with the log's start."""
        ...


@dataclass(frozen=True)
class ModelVersion:
    """A registered model. `identity` is its content; `tags` hold digests of bundle and data, run and metrics."""

    name: str
    version: int
    identity: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created: float = 0.0
    """Seconds since 1970."""
    digest: str = ""
    """Of its artifact in the blobs, where a server may take it from; empty: the registry alone gives it."""
    registry: str = ""
    """The address of the registry that numbers it, beside `digest`: another one's numbers mean other models."""


class Models(Protocol):
    """Registered models, as whoever scores with them reads them."""

    def get(self, name: str, version: int) -> ModelVersion:
        """Raises ArtifactError where there is none."""
        ...

    def fetch(self, name: str, version: int) -> Path:
        """A local directory with the verified model. Raises ArtifactError where it is gone or altered."""
        ...


class Registry(Models, Protocol):
    """Model versions, numbered from 1 (locally without gaps); the same identity is the same version."""

    def register(self, name: str, model: Path, identity: str, tags: Mapping[str, str]) -> ModelVersion:
        """Stores the model directory and gives it the next version, or returns the version that it already has."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """Oldest first; empty for an unknown name."""
        ...

    def project(self, name: str, aliases: Mapping[str, int]) -> None:
        """Makes the aliases (champion, challenger, previous) exactly these: they are the pointer's projection."""
        ...

    def evaluated(self, name: str, version: int, evaluation: Evaluation) -> None:
        """Shows beside the version what it reached, where the registry has a place for it; the same once."""
        ...

    def resource(self, name: str, version: int) -> str:
        """The version's name in the cloud (projects/…/models/ID@N), for lineage; "" where it has none."""
        ...


@dataclass(frozen=True)
class Pointer:
    """What is live of one case: the commit point of promote, abort and rollback. Versions are the registry's."""

    case: str
    champion: int | None = None
    previous: int | None = None
    challenger: int | None = None
    split: int = 0
    """Percent of the traffic that the challenger gets."""
    generation: int = 0
    """0: nothing is live yet."""
    by: str = ""
    at: float = 0.0
    why: str = ""


class Endpoints(Protocol):
    """What is live. The pointer changes by compare-and-set; what follows it is reconciled after."""

    resources: Path | None
    """The file in which a cloud's deployment is named once it is under way (JSON of GcpResources); None: nowhere."""

    def pointer(self, case: str) -> Pointer: ...

    def change(self, pointer: Pointer) -> Pointer:
        """Writes `pointer` if the stored one still has its generation; the stored one. Raises ConflictError."""
        ...

    def history(self, case: str) -> list[Pointer]:
        """Every state, oldest first."""
        ...

    def prepare(self, version: ModelVersion) -> None:
        """Makes a registered version ready for traffic and gives it none; returns when it is, at once where it was.

        Called before the pointer names it. Raises RunError where it never becomes ready: then nothing has moved.
        """
        ...

    def project(self, pointer: Pointer) -> None:
        """Moves the traffic to what the pointer names, then takes away what has none: the pointer's projection.

        What the pointer names and is not there is made ready first. A state that was overtaken moves nothing.
        """
        ...

    def traffic(self, case: str) -> Mapping[int, int]:
        """What each version that could answer has of the traffic, in percent; empty where nothing serves."""
        ...

    def resource(self, case: str) -> str:
        """The endpoint's name in the cloud (projects/…/endpoints/ID), for lineage; "" where it has none."""
        ...


class Tracking(Protocol):
    """Experiment tracking: one run per training."""

    def prepare(self) -> None:
        """Begins what `log` needs and takes time, beside the caller's own work; `log` does without it."""
        ...

    def log(
        self,
        experiment: str,
        run: str,
        *,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
        curves: Mapping[str, Sequence[float]] | None = None,
    ) -> str:
        """Logs one finished run and returns its address. The same run name again updates it.

        The steps of a curve count from 0; what is no finite number is left out of it.
        """
        ...


@dataclass(frozen=True)
class Alert:
    subject: str
    body: str
    severity: Literal["info", "warning", "error"]
    facts: Mapping[str, str] = field(default_factory=dict)


class Alerts(Protocol):
    def send(self, alert: Alert, *, email: Sequence[str] = ()) -> list[str]:
        """Sends wherever it can, with bounded retries; a line for each channel that failed. Never raises."""
        ...


JobState = Literal["starting", "running", "draining", "cancelling", "done", "failed", "cancelled", "drained", "updated"]


@dataclass(frozen=True)
class CloudJob:
    """A Beam job that a cloud runs by itself."""

    id: str
    name: str
    state: JobState
    streaming: bool
    key: str
    """What it is to do, as its label says it; "" where it says nothing."""
    url: str
    """Its page in the console."""


class Jobs(Protocol):
    """Beam jobs."""

    def run(self, build: Callable[[Any], None], *, name: str, key: str = "", resources: Path | None = None) -> None:
        """`build(pipeline)` adds the transforms; returns when the job has succeeded. Raises RunError.

        Whoever is told to end while it waits (SIGTERM, Ctrl+C) takes the job along.

        Parameters
        ----------
        key
            A digest of what the job is to do; empty: its name says it all. Where a cloud has a job of this name and
            key that is under way or done, that one is followed, and `build` is not called.
        resources
            The file in which a cloud's job is named as soon as it is there (JSON of Google's GcpResources); one that
            names a job already means that job.
        """
        ...


class Streams(Protocol):
    """Beam jobs that a cloud runs until they are told to end. One of a name is under way at a time."""

    def start(
        self, build: Callable[[Any], None], *, name: str, key: str = "", update: Mapping[str, str] | None = None
    ) -> CloudJob:
        """Starts a job and returns; one of this name and key that is under way is returned as it is.

        `update` takes the place of the job of this name, whose state goes on; it maps the names of transforms that
        were renamed, from old to new. Raises ConflictError where another key's is under way, or none to update.
        """
        ...

    def find(self, name: str) -> CloudJob | None:
        """The job of this name that is under way, or else the last one."""
        ...

    def stop(self, name: str, *, drain: bool) -> CloudJob:
        """Cancels, or drains: what was taken is worked off first. Raises ConflictError where none is under way."""
        ...


class Ports(Protocol):
    """Every port of one profile. An adapter is imported when it is first asked for: some are slow."""

    @property
    def blobs(self) -> Blobs: ...

    @property
    def sources(self) -> Sources: ...

    @property
    def tables(self) -> Tables: ...

    @property
    def events(self) -> Events: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def endpoints(self) -> Endpoints: ...

    @property
    def tracking(self) -> Tracking: ...

    @property
    def alerts(self) -> Alerts: ...

    @property
    def jobs(self) -> Jobs: ...
