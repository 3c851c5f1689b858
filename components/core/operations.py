"""The operations of a case: everything about running the model. A change here retrains nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.core import cron, sizes
from components.core.declared import Duration, Name, Strict, duration, seconds


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


class Workers(Strict):
    """Beam's workers on Dataflow: what is said here goes before the profile's `jobs.dataflow`."""

    machine_type: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*$", examples=["n2-standard-4"])
    workers: int | None = Field(default=None, ge=1)
    """To begin with."""
    max_workers: int | None = Field(default=None, ge=1)
    """What autoscaling may go up to."""


class Streaming(Strict):
    lateness: Duration = "10min"
    """How far behind the newest event one may lie; later ones are counted, kept aside and not scored."""
    retention: Duration | None = None
    """How long the local log keeps messages that the stream needs no more, and fast those that it took from Pub/Sub;
    without it, for ever."""
    workers: Workers = Workers()
    """Of the stream as a Beam job."""


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
    if seconds(duration(value)) > 7 * 86400:
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
    workers: Workers = Workers()
    """Of preprocess and predict as Beam jobs; the step itself only waits for them."""


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
