"""The case: what `case.yaml` says of the model, typed, frozen, with unknown keys forbidden.

It is resolved (every default written out) into the bundle's `case.json`, and a change in it changes what is learned.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.core import addresses, case_rules
from components.core.columns import ColumnType
from components.core.declared import Duration, Name, Ratio, Strict

_CASE_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
Unit = Literal["seconds", "minutes", "hours", "days"]
UNIT_SECONDS: dict[Unit, int] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
Scalar = bool | int | float | str | None


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
