"""An Optuna search over the case's ranges, scored by the main metric on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.core import metrics
from components.core.case import Model, Scalar, Search, SearchRange, seconds
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
    """The best pipeline of a seeded search, and every try in order; equal ones: the first.

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
    fitter, name = Fitter(data, model, say), model.main_metric()
    less = name in metrics.LESS_IS_BETTER
    tries: list[Trial] = []
    best: list[tuple[float, Fitted]] = []

    def objective(trial: OptunaTrial) -> float:
        chosen = {key: suggest(trial, key, range_) for key, range_ in wanted.parameters.items()}
        fitted = fitter.fit(chosen)
        raw = sklearn_raw(fitted.pipeline, data.features)
        value = score(raw, data.validation, model, data.classes()).metrics[name]
        tries.append(Trial(chosen, value if math.isfinite(value) else None))
        if not math.isfinite(value):
            raise optuna.TrialPruned
        if not best or (value < best[0][0] if less else value > best[0][0]):
            best[:] = [(value, fitted)]
        say(f"search {len(tries)}/{wanted.trials}: {name} {value:.5f}, best {best[0][0]:.5f}")
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="minimize" if less else "maximize", sampler=optuna.samplers.TPESampler(seed=model.seed)
    )
    timeout = seconds(wanted.timeout) if wanted.timeout is not None else None
    study.optimize(objective, n_trials=wanted.trials, timeout=timeout)
    if not best:
        remedy = "Look at the ranges in model.search and at the validation rows."
        raise ModelError(name, "be a number in at least one trial", f"{len(tries)} without", remedy, where=WHERE)
    return best[0][1], tries


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
