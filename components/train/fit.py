"""Fits the case's pipeline, the same way every time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.case import Model, Scalar
from components.core.errors import CaseError, DataError, ModelError
from components.core.scorer import frame
from components.train import estimators
from components.train.data import WHERE, Data

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, and the parameters that its estimator was given."""

    pipeline: Any
    parameters: Mapping[str, Scalar]


class Fitter:
    """Fits estimators of one case to one set of rows; what stands before the estimator is fitted once.

    BLAS has one thread, because the order of its sums, and so their last bits, depend on how many there are.
    """

    def __init__(self, data: Data, model: Model, say: Say) -> None:
        self._model, self._say = model, say
        self._labels = data.train.labels
        made = estimators.estimator(model)
        self._weights = estimators.sample_weights(model, made, self._labels, data.train.weights)
        self._encode = estimators.encoder(model, made, self._known(data))
        rows = frame(data.train.columns, data.features)
        self._encoded: npt.NDArray[Any] = self._run(lambda: self._encode.fit_transform(rows, self._labels))

    def _known(self, data: Data) -> list[tuple[str, str]]:
        """The features without the numbers that no training row has: some estimators cannot take such a column."""
        columns = data.train.columns
        empty = [name for name, kind in data.features if kind == "float32" and np.isnan(columns[name]).all()]
        if len(empty) == len(data.features):
            remedy = "Look at features() and at the columns that it reads."
            raise DataError("features", "have a value in some training row", "none", remedy, where=WHERE)
        if empty:
            self._say(f"left out, missing in every training row: {', '.join(empty)}")
        return [(name, kind) for name, kind in data.features if name not in empty]

    def fit(self, chosen: Mapping[str, Scalar] | None = None) -> Fitted:
        """The pipeline with the case's parameters, then `chosen`.

        Raises
        ------
        CaseError
            The estimator or a parameter is not as it must be.
        ModelError
            scikit-learn could not fit it.
        """
        from sklearn.pipeline import Pipeline

        made = estimators.estimator(self._model, chosen)
        weighed = {} if self._weights is None else {"sample_weight": self._weights}
        self._run(lambda: made.fit(self._encoded, self._labels, **weighed))
        steps = [(estimators.ENCODE, self._encode), (estimators.ESTIMATOR, made)]
        own = made.get_params(deep=False)
        names = {"random_state"} & set(own) | {*self._model.parameters, *(chosen or {})}
        return Fitted(Pipeline(steps), {name: own[name] for name in sorted(names)})

    def _run(self, work: Callable[[], Any]) -> Any:
        from sklearn.utils._param_validation import InvalidParameterError
        from threadpoolctl import threadpool_limits

        with warnings.catch_warnings(record=True) as heard, threadpool_limits(1, user_api="blas"):
            warnings.simplefilter("always")
            try:
                made = work()
            except InvalidParameterError as error:
                remedy = "Mend the parameter in the case."
                where = estimators.WHERE
                raise CaseError("model.parameters", "be what it takes", str(error), remedy, where=where) from error
            except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
                remedy = "Choose another estimator, encoding or parameters in the case."
                raise ModelError("estimator", "fit the training rows", str(error), remedy, where=WHERE) from error
        for text in dict.fromkeys(str(warning.message).splitlines()[0] for warning in heard):
            self._say(f"scikit-learn: {text}")
        return made
