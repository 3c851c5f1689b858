"""The case: what `case.yaml` says, typed, frozen, with unknown keys forbidden.

`Case` is about the model; it is resolved (every default written out) into the bundle's `case.json`, and a change
in it changes what is learned. `Operations` is about running the model and has a digest of its own.
One file holds both, so that a person reads one page.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.core import addresses, case_rules, complaints, cron, metrics, sizes
from components.core.artifacts import canonical_json
from components.core.columns import ColumnType
from components.core.errors import CaseError

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_CASE_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_DURATION = re.compile(r"([1-9][0-9]*)(s|min|h|d)")

Unit = Literal["seconds", "minutes", "hours", "days"]
UNIT_SECONDS: dict[Unit, int] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
T = TypeVar("T", bound=BaseModel)
Scalar = bool | int | float | str | None


def _identifier(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError("be an identifier: letters, digits and _, starting with a letter")
    return value


def _duration(value: str) -> str:
    if not _DURATION.fullmatch(value):
        raise ValueError("be a whole number and a unit, such as 90s, 15min, 3h or 2d")
    return value


def seconds(duration: str) -> int:
    """'3h' -> 10800."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(duration)
    return int(match[1]) * _SECONDS[match[2]]


Name = Annotated[str, AfterValidator(_identifier)]
Duration = Annotated[str, AfterValidator(_duration)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Column(Strict):
    type: ColumnType
    missing: bool = True
    """Whether a null is a valid value; where it is not, such a row goes to the dead letter."""
    known: Literal["event", "label"] = "event"
    """When the value is known: with the event, or only when the label lands (then it is never a model input)."""
    description: str = ""


class Source(Strict):
    path: str = ""
    """A file, a glob, a folder; the same in Cloud Storage, gs://bucket/path; or a URL that fsspec reads. A relative
    one stands under the profile's source root. bigquery://project.dataset.table is a table of BigQuery."""
    query: str = ""
    """In place of a path: one SELECT that BigQuery runs. A value stands in it as $name."""
    parameters: dict[Name, Scalar] = {}
    """The query's values by name."""
    format: Literal["csv", "jsonl", "parquet"] | None = None
    """None: by the file's ending, under .gz or .zip."""
    null_values: tuple[str, ...] = ("", "NA")
    """Texts that mean missing in CSV."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    bad_ratio: Ratio = 0.01
    """More than this share of rows in the dead letter stops the run."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.path) == bool(self.query):
            raise ValueError("name either a path or a query")
        if self.parameters and not self.query:
            raise ValueError("have parameters only beside a query")
        return self

    @property
    def address(self) -> str:
        """What `Sources` takes."""
        return addresses.of_query(self.query, self.parameters) if self.query else self.path

    @property
    def shown(self) -> str:
        """For people."""
        return "the query" if self.query else self.path


class Moment(Strict):
    """A time: a timestamp column, plus number columns in a unit, plus a constant."""

    column: Name
    plus: dict[Name, Unit] = {}
    offset: Duration | None = None


class Label(Strict):
    column: Name
    above: float | None = None
    """Binary from a number: the label is 1 where the column is greater than this."""
    positive: str | None = None
    """Binary from a string or bool column: the value that counts as 1 ('true' for a bool)."""
    matures: Moment | None = None
    """When the label is known. None: with the event."""


class Reference(Strict):
    """A table joined by key: as of the event's time where `time` is given, else by key alone (a key's last row)."""

    source: Source
    columns: dict[Name, Column]
    by: dict[Name, Name]
    """Event column -> the table's column."""
    time: Name | None = None
    within: Duration | None = None
    """The oldest row that still counts."""
    take: tuple[Name, ...]
    """Columns to add, named TABLE_COLUMN."""


class Window(Strict):
    """Aggregates over [t - length, t) per key, named WINDOW_COMPUTE_LENGTH, such as origin_traffic_count_3h."""

    by: tuple[Name, ...]
    over: tuple[Duration, ...] = Field(min_length=1)
    of: Name | None = None
    """The number column to add up; not needed for count alone."""
    unit: float = Field(default=1.0, gt=0)
    """Values are added as whole multiples of this unit (int64, so that any order gives the same bits)."""
    compute: tuple[Literal["count", "sum", "mean"], ...] = ("count",)
    known: Literal["event", "label"] = "event"
    """Whether a row enters the window when it happens, or when its label lands."""

    @model_validator(mode="after")
    def _needs_values(self) -> Self:
        if self.of is None and set(self.compute) != {"count"}:
            raise ValueError("name the column to add up in 'of' where it computes more than count")
        return self

    def names(self, name: str) -> list[tuple[str, str, str]]:
        """(column, compute, length) for each column that the window called `name` adds."""
        return [(f"{name}_{c}_{o}", c, o) for o in self.over for c in self.compute]


class Split(Strict):
    """Calendar periods (UTC), counted back from the newest complete one: train, validation, holdout, score."""

    by: Literal["hour", "day", "week", "month"] = "month"
    train: int | None = Field(default=None, ge=1)
    """None: all periods before the others."""
    validation: int = Field(default=1, ge=1)
    holdout: int = Field(default=1, ge=1)
    score: int = Field(default=1, ge=0)
    """The newest periods, which neither training nor evaluation sees; `predict` scores them."""


class Fast(Strict):
    """How the fast pipeline trains: on the newest events of the case's topic, and on the sources before them."""

    history: Duration = "60d"
    """How far before the topic's first event the sources are read."""
    split: Split = Split(by="day", score=0)


class Weights(Strict):
    balanced: bool = False
    """Weigh each class by the inverse of its frequency."""
    column: Name | None = None
    """A number column with one weight per row."""


class SearchRange(Strict):
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ranged = self.low is not None and self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("give either low and high, or choices")
        if ranged and not self.low < self.high:  # type: ignore[operator]  # ranged says both are numbers
            raise ValueError("have low below high")
        return self


class Search(Strict):
    """An Optuna search, scored on the validation periods."""

    trials: int = Field(default=20, ge=1, le=1000)
    timeout: Duration | None = None
    parameters: dict[str, SearchRange] = Field(min_length=1)


class Threshold(Strict):
    """How the decision threshold of a binary model is chosen on the validation periods."""

    metric: Literal["f1", "balanced_accuracy", "accuracy"] | None = None
    false_positive_cost: float | None = Field(default=None, gt=0)
    false_negative_cost: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        costs = (self.false_positive_cost is None, self.false_negative_cost is None)
        if costs[0] != costs[1]:
            raise ValueError("give both costs or neither")
        if self.metric is not None and not costs[0]:
            raise ValueError("choose by a metric or by costs, not by both")
        return self


class Model(Strict):
    task: Literal["binary", "multiclass", "regression"]
    estimator: str = "sklearn.ensemble.HistGradientBoostingClassifier"
    parameters: dict[str, Scalar] = {}
    categories: Literal["ordinal", "onehot", "target"] = "ordinal"
    """How str features are encoded; a category that training did not see is its own value."""
    scale: bool = False
    """Standardize and impute numbers: for linear models, never for trees."""
    weights: Weights = Weights()
    search: Search | None = None
    threshold: Threshold = Threshold()
    metric: str | None = None
    """What the search maximizes and the gate compares; None: roc_auc, log_loss or rmse by task."""
    serve_with: Literal["onnx", "skops"] = "onnx"
    """onnx: predict, the stream and every server score with it. skops: scikit-learn itself, where ONNX cannot follow:
    predict and the stream score with it, no prediction server does."""
    seed: int = Field(default=0, ge=0, lt=2**32)

    def main_metric(self) -> str:
        return self.metric or {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[self.task]


class Case(Strict):
    """Everything that decides what is learned."""

    format: Literal[1] = 1
    name: str
    description: str = ""
    source: Source
    columns: dict[Name, Column] = Field(min_length=1)
    entity_id: tuple[Name, ...] = Field(min_length=1)
    event_time: Moment
    arrival: Name | None = None
    """A column with the order of arrival; a window sees smaller numbers only. None: event time is the order."""
    require: tuple[Name, ...] = ()
    """A row in which one of these is missing is not an event: dropped and counted."""
    label: Label
    references: dict[Name, Reference] = {}
    windows: dict[Name, Window] = {}
    inputs: tuple[Name, ...] | None = None
    """The columns that `features` gets, enriched ones among them; None: every one known at the event."""
    split: Split = Split()
    fast: Fast = Fast()
    model: Model
    feature_bad_ratio: Ratio = 0.01
    """More than this share of rows that the transform refuses stops preprocess."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if not _CASE_NAME.fullmatch(self.name):
            raise ValueError(f"name must be lower-case letters, digits and -, at most 40; got {self.name!r}")
        case_rules.check(self)
        return self

    def of(self, purpose: str) -> Case:
        """The case as a pipeline of this purpose splits it: "fast" has periods of its own."""
        return self.model_copy(update={"split": self.fast.split}) if purpose == "fast" else self

    def enriched_types(self) -> dict[str, ColumnType]:
        """Every column of an enriched row in order: the events' own, the references', the windows'."""
        types: dict[str, ColumnType] = {name: column.type for name, column in self.columns.items()}
        for name, reference in self.references.items():
            types |= {f"{name}_{column}": reference.columns[column].type for column in reference.take}
        for name, window in self.windows.items():
            types |= {column: "number" for column, _, _ in window.names(name)}
        return types

    def event_types(self) -> dict[str, ColumnType]:
        """The enriched columns that are known with the event, in order: all that a model may see of a row."""
        late = {name for name, column in self.columns.items() if column.known == "label"} | {self.label.column}
        for name, reference in self.references.items():
            late |= {f"{name}_{column}" for column in reference.take if reference.columns[column].known == "label"}
        return {name: kind for name, kind in self.enriched_types().items() if name not in late}

    def input_types(self) -> dict[str, ColumnType]:
        """The columns that `features` gets, in order, with their types: the schema of the model's inputs."""
        types = self.event_types()
        return {name: types[name] for name in (self.inputs if self.inputs is not None else types)}


class SliceRule(Strict):
    """A floor that every large enough slice of a column must reach."""

    column: Name
    metric: str
    floor: float
    minimum_rows: int = Field(default=500, ge=1)


class Gate(Strict):
    """When a challenger may become champion. For a metric where less is better a floor is a ceiling."""

    floors: dict[str, float] = {}
    slices: tuple[SliceRule, ...] = ()
    tolerance: float = Field(default=0.0, ge=0)
    """The challenger may be this much worse than the champion, at the confidence interval's worse end."""
    canary_tolerance: float | None = Field(default=None, ge=0)
    """The tolerance where a canary follows, whose holdout is small and who has the last word; None: the same."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=200, ge=50, le=10_000)
    minimum_rows: int = Field(default=200, ge=1)


class Monitoring(Strict):
    minimum_rows: int = Field(default=200, ge=1)
    """Fewer rows than this is 'insufficient data', never 'healthy'."""
    threshold: float | None = Field(default=None, gt=0)
    """Jensen-Shannon distance that counts as drift; None: calibrated from the baseline."""
    ignore: tuple[Name, ...] = ()


class Canary(Strict):
    """When a challenger that gets live traffic is promoted: when every rule is certain. One that is certain of harm
    aborts it at once, and so does one with too few samples at the deadline. A rule that is null is not asked."""

    percent: int = Field(default=20, ge=1, le=99)
    """Of the live traffic, by a stable hash of the request's id."""
    requests: int = Field(default=500, ge=1)
    """Each rule is judged on this many samples of each version that it looks at; latency on 59 at least (at 0.95)."""
    deadline: Duration = "30min"
    """Without a decision by then the canary is aborted."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """A challenger that is worse than a limit allows is promoted in at most 1 - confidence of all cases."""
    error_rate: float | None = Field(default=0.01, ge=0, le=1)
    """The challenger's share of requests that fail (5xx) may exceed the champion's by this much at most."""
    latency: float | None = Field(default=1.5, gt=0)
    """The challenger's 95th percentile may be this many times the champion's at most."""
    agreement: float | None = Field(default=0.8, ge=0, le=1)
    """The share of the challenger's requests on which the champion decides alike, at least. Not for regression."""
    quality: dict[str, Annotated[float, Field(ge=0)]] = {}
    """By metric: how much worse than the champion's the challenger's may be on labels that matured meanwhile."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if (self.error_rate, self.latency, self.agreement) == (None, None, None) and not self.quality:
            raise ValueError("ask for at least one of error_rate, latency, agreement and quality")
        return self


class Serving(Strict):
    """What one prediction server takes."""

    body: int = Field(default=1_500_000, ge=1_000)
    """Bytes of a request's body."""
    rows: int = Field(default=1_024, ge=1)
    """Rows of a request."""
    queue: int = Field(default=256, ge=1)
    """Requests that wait; the next one gets a 503 at once."""


class Streaming(Strict):
    lateness: Duration = "10min"
    """How far behind the newest event one may lie; later ones are counted, kept aside and not scored."""
    retention: Duration | None = None
    """How long the local log keeps messages that the stream needs no more, and fast those that it took from Pub/Sub;
    without it, for ever."""


class Notify(Strict):
    when: tuple[Literal["failure", "refused", "aborted", "drift", "success"], ...] = (
        "failure",
        "refused",
        "aborted",
        "drift",
    )
    """aborted: a canary ended without promotion."""
    email: tuple[str, ...] = ()


def _time_limit(value: str) -> str:
    if seconds(_duration(value)) > 7 * 86400:
        raise ValueError("be at most 7d")
    return value


class Accelerator(Strict):
    type: str = Field(pattern=r"^(NVIDIA_[A-Z0-9_]+|[a-z0-9.-]+/[a-z0-9.-]+)$", examples=["NVIDIA_L4"])
    """Vertex AI's name, such as NVIDIA_L4, which Kubeflow takes for nvidia.com/gpu; or what a cluster calls it."""
    count: int = Field(default=1, ge=1, le=16)


class Resources(Strict):
    """What one step may use. Where it runs on this machine itself, only the time limit counts."""

    cpu: Annotated[str, AfterValidator(sizes.cores)] | None = None
    """Cores."""
    memory: Annotated[str, AfterValidator(sizes.memory)] | None = None
    """Such as 16G or 16Gi. A step that takes more is killed."""
    accelerator: Accelerator | None = None
    machine: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$", examples=["n1-highmem-8"])
    """On Vertex AI, in place of cpu and memory: a machine type, such as n1-highmem-8. Kubeflow has none."""
    disk: Annotated[str, AfterValidator(sizes.disk)] | None = None
    """On Vertex AI, beside machine: the size of its disk, such as 500G. Kubeflow has none."""
    time_limit: Annotated[str, AfterValidator(_time_limit)] | None = None
    """Such as 2h: a step that takes longer ends itself, and says so."""


class Schedule(Strict):
    """When a pipeline runs by itself: `esteira schedule apply CASE` makes it so."""

    pipeline: str = Field(default="batch", pattern=r"^[a-z]+$", examples=["batch"])
    cron: Annotated[str, AfterValidator(cron.canonical)]
    """Five fields: minute, hour, day of month, month, weekday (0 or sun to 6; 7 is Sunday too)."""
    time_zone: Annotated[str, AfterValidator(cron.zone)] = "UTC"
    """Of the IANA database. Kubeflow knows its cluster's only."""
    concurrency: int = Field(default=1, ge=1, le=10)
    """So many of its runs may be under way at once; one more is left out."""
    paused: bool = False


class Operations(Strict):
    """Everything about running the model; a change here retrains nothing."""

    gate: Gate = Gate()
    deploy: Literal["champion", "canary"] = "champion"
    """What batch makes of an accepted model: the champion at once, or a challenger that earns its traffic."""
    canary: Canary = Canary()
    serving: Serving = Serving()
    streaming: Streaming = Streaming()
    monitoring: Monitoring = Monitoring()
    notify: Notify = Notify()
    resources: dict[str, Resources] = {}
    """By step, such as `train: {cpu: "4", memory: 16G, time_limit: 2h}`."""


class CaseFile(Operations, Case):
    """`case.yaml` as a person writes it."""

    schedules: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", examples=["nightly"])], Schedule] = {}
    """By a name of your own. No step reads them: a change needs no release, only `esteira schedule apply`."""

    @model_validator(mode="after")
    def _canary_fits_the_task(self) -> Self:
        known = metrics.logged(self.model.task)
        for name in self.canary.quality:
            if name not in known:
                raise ValueError(f"canary.quality names {name!r}, and live {self.model.task} has {', '.join(known)}")
        return self

    def case(self) -> Case:
        return Case.model_validate(self.model_dump(include=set(Case.model_fields)))

    def operations(self) -> Operations:
        return Operations.model_validate(self.model_dump(include=set(Operations.model_fields)))


class _Loader(yaml.SafeLoader):
    """YAML's safe types, and no key twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"the key {key!r} stands twice in line {node.start_mark.line + 1} or after"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def parse(text: str, *, where: str) -> CaseFile:
    """The case in the text of a `case.yaml`.

    Raises
    ------
    CaseError
        The text is no YAML mapping, or a key is unknown, missing or out of its rule; the first fault is named.
    """
    try:
        data = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        raise CaseError(
            "case.yaml", "be YAML", " ".join(str(error).split()), "Mend the line that is named.", where=where
        ) from error
    if not isinstance(data, dict):
        raise CaseError("case.yaml", "be a mapping of keys", data, "See `esteira init`.", where=where)
    return validate(CaseFile, data, where=where)


class _Told(str):
    """Words of ours, shown without quotes."""

    def __repr__(self) -> str:
        return str(self)


def validate(model: type[T], data: object, *, where: str) -> T:
    """`data` as `model`, with pydantic's first complaint told as a CaseError."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = complaints.first(model, error)
        key, rule, value = first.key, first.rule, first.value
        if model is CaseFile and not error.errors()[0]["loc"]:  # over several keys: it says itself what was found
            key, rule, value = "keys", f"agree: {rule}", _Told("keys that do not")
        raise CaseError(key, rule, value, first.remedy, where=where) from error


def load(folder: Path) -> CaseFile:
    """The case in `folder/case.yaml`."""
    path = folder / "case.yaml"
    if not path.is_file():
        raise CaseError(
            "case", "be a folder with a case.yaml", str(folder), "Make one with `esteira init NAME --data FILE`."
        )
    return parse(path.read_text(encoding="utf-8"), where=str(path))


def digest(data: Any) -> str:
    """sha256 (64 hex) of the canonical JSON of `data`, or of a model's resolved text."""
    text = resolved_json(data) if isinstance(data, BaseModel) else canonical_json(data)
    return hashlib.sha256(text.encode()).hexdigest()


def resolved_json(model: BaseModel, sections: Collection[str] | None = None) -> str:
    """A model, or some of its sections, as JSON with every default written out.

    Keys stay in the order in which they were declared: it is the order of the columns everywhere after.
    """
    include = None if sections is None else set(sections)
    return json.dumps(model.model_dump(mode="json", include=include), separators=(",", ":"), ensure_ascii=False)


def section_digest(model: Strict, sections: Collection[str]) -> str:
    """One digest of the named top-level sections, resolved; what a step does not name does not touch its reuse."""
    return hashlib.sha256(resolved_json(model, sections).encode()).hexdigest()
