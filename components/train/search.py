"""An Optuna search over the case's ranges, scored by the main metric on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.core import metrics
from components.core.case import Model, Scalar, Search, SearchRange
from components.core.declared import seconds
from components.core.errors import ModelError
from components.core.scorer import sklearn_raw
from components.train.data import WHERE, Data
from components.train.estimators import check_parameters, estimator_class
from components.train.fit import Fitted, Fitter, Say
from components.train.scoring import score

if TYPE_CHECKING:
    from optuna import Trial as OptunaTrial


@dataclass(frozen=True)
class Trial:
    """One try: its parameters, and the main metric on the validation rows (None: it has none)."""

    parameters: Mapping[str, Scalar]
    value: float | None


def search(data: Data, model: Model, wanted: Search, say: Say) -> tuple[Fitted, list[Trial]]:
    """The best pipeline of a seeded search, and every try in order; of equally good ones the first.

    With a timeout the number of tries depends on the machine, and so may the result.

    Raises
    ------
    CaseError
        A searched parameter is not one of the estimator's, or a value is not what it takes.
    ModelError
        No try gave the metric a number.
    """
    import optuna

    check_parameters(estimator_class(model), wanted.parameters, "model.search.parameters")
    objective = _Objective(data, model, wanted, say)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=model.seed)
    study = optuna.create_study(direction="minimize" if objective.less else "maximize", sampler=sampler)
    timeout = seconds(wanted.timeout) if wanted.timeout is not None else None
    study.optimize(objective, n_trials=wanted.trials, timeout=timeout)
    if objective.best is None:
        remedy = "Look at the ranges in model.search and at the validation rows."
        found = f"{len(objective.tries)} without"
        raise ModelError(objective.metric, "be a number in at least one trial", found, remedy, where=WHERE)
    return objective.best[1], objective.tries


class _Objective:
    """One call fits and scores one set of parameters; it keeps every try and the best pipeline."""

    def __init__(self, data: Data, model: Model, wanted: Search, say: Say) -> None:
        self._data, self._model, self._wanted, self._say = data, model, wanted, say
        self._fitter = Fitter(data, model, say)
        self.metric = model.main_metric()
        self.less = self.metric in metrics.LESS_IS_BETTER
        self.tries: list[Trial] = []
        self.best: tuple[float, Fitted] | None = None

    def __call__(self, trial: OptunaTrial) -> float:
        import optuna

        chosen = {name: suggest(trial, name, range_) for name, range_ in self._wanted.parameters.items()}
        fitted = self._fitter.fit(chosen)
        raw = sklearn_raw(fitted.pipeline, self._data.features)
        value = score(raw, self._data.validation, self._model, self._data.classes()).metrics[self.metric]
        known = math.isfinite(value)
        self.tries.append(Trial(chosen, value if known else None))
        if not known:
            raise optuna.TrialPruned
        if self.best is None or (value < self.best[0] if self.less else value > self.best[0]):
            self.best = value, fitted
        done = f"search {len(self.tries)}/{self._wanted.trials}"
        self._say(f"{done}: {self.metric} {value:.5f}, best {self.best[0]:.5f}")
        return value


def suggest(trial: OptunaTrial, name: str, wanted: SearchRange) -> Scalar:
    """What Optuna proposes for one parameter."""
    if wanted.choices is not None:
        chosen: Scalar = trial.suggest_categorical(name, wanted.choices)
        return chosen
    assert wanted.low is not None, "a range has choices, or low and high"
    assert wanted.high is not None, "a range has choices, or low and high"
    if wanted.integer:
        return trial.suggest_int(name, math.ceil(wanted.low), math.floor(wanted.high), log=wanted.log)
    return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)
