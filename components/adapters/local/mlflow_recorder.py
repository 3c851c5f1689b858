"""Logs one run with MLflow, as a program that stands alone.

Stdin brings two lines of JSON: the address of the store, which is opened at once, and later the order. The answer
is the last line of stdout. When the process that started it dies, stdin ends without an order, and so does this.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.parse import quote

_LONGEST = 6000
"""Characters of a parameter's value that MLflow takes."""


def main() -> int:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    address = sys.stdin.readline()
    try:
        client = MlflowClient(tracking_uri=json.loads(address or '""'))
        client.search_experiments(max_results=1)  # opens the store, which takes the longest
        order = sys.stdin.readline()
        if not order:
            return 0
        experiment, run = _log(client, json.loads(order))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
    else:
        answer = {"experiment": experiment, "run": run}
    print(json.dumps(answer), flush=True)
    return 0


def _log(client: Any, order: dict[str, Any]) -> tuple[str, str]:
    """The ids of the experiment and of the run."""
    from mlflow.entities import Metric, Param, RunTag

    experiment = _experiment(client, order["experiment"], order["artifacts"])
    parameters = {key: value[:_LONGEST] for key, value in order["parameters"].items()}
    run = _run(client, experiment, order["run"], parameters)
    now = int(time.time() * 1000)
    client.log_batch(
        run,
        [
            *(Metric(key, value, now, 0) for key, value in order["metrics"].items()),
            *(Metric(key, value, now, step) for key, values in order["curves"].items() for step, value in values),
        ],
        [Param(key, value) for key, value in parameters.items()],
        [RunTag(key, value) for key, value in order["tags"].items()],
    )
    for path in order["files"]:
        client.log_artifact(run, path)
    client.set_terminated(run)
    return experiment, run


def _experiment(client: Any, name: str, artifacts: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        place = f"{artifacts}/{quote(name)}" if artifacts else None
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # somebody else made it in between
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _run(client: Any, experiment: str, name: str, parameters: dict[str, str]) -> str:
    """The run of this name, or a new one; one whose parameters differ is replaced, for MLflow's never change."""
    for found in client.search_runs([experiment], filter_string=f'attributes.run_name = "{name}"'):
        if all(parameters.get(key) == value for key, value in found.data.params.items()):
            return str(found.info.run_id)
        client.delete_run(found.info.run_id)
    return str(client.create_run(experiment, run_name=name).info.run_id)


if __name__ == "__main__":
    sys.exit(main())
