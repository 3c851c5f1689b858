"""Gives an accepted model its version; the same model keeps the one that it has."""

from __future__ import annotations

from components import step
from components.core import evaluated, verdict
from components.core.errors import EsteiraError, ModelError
from components.core.scorer import Scorer


def run(launch: step.Launch, *, model: str, evaluation: str) -> step.Result:
    """Registers the model artifact at `model` as the evaluation at `evaluation` allows.

    The result's parameter `version` is its number, `resource` its name in the cloud; empty when the model was refused.
    """
    return step.perform("register", launch, work, inputs={"model": model, "evaluation": evaluation})


def work(context: step.Context) -> step.Result:
    found = verdict.read(context.inputs["evaluation"])
    # Opening proves what is registered: every byte, the identity, the bundle, and that it loads.
    model = Scorer.open(context.inputs["model"], context.launch.bundle).model
    if model.identity != found.model:
        remedy = "Evaluate the model that is to be registered."
        raise ModelError("model", f"be the one that was evaluated, {found.model}", model.identity, remedy)
    if not found.accepted:
        why = found.reasons[0] if found.reasons else "no reason given"
        nothing = {"version": "", "resource": ""}
        return step.Result(summary=f"Nothing registered, the gate refused: {why}", parameters=nothing)
    tags = {
        "bundle": model.bundle,
        "data": model.data,
        "run": context.launch.job,
        "estimator": model.estimator,
        **{f"holdout.{name}": f"{value:.6g}" for name, value in sorted(found.metrics.items())},
    }
    registered = context.ports.registry.register(context.case.name, context.inputs["model"], model.identity, tags)
    unseen = _show(context, registered.version, evaluated.read(context.inputs["evaluation"], model.task))
    known = registered.tags.get("run") != context.launch.job
    return step.Result(
        summary=f"Version {registered.version}{', as before' if known else ''}: {model.identity[:12]}{unseen}",
        parameters={
            "version": str(registered.version),
            "resource": context.ports.registry.resource(context.case.name, registered.version),
        },
    )


def _show(context: step.Context, version: int, evaluation: evaluated.Evaluation) -> str:
    """Shows the evaluation; what to add to the summary where that failed, for a console decides nothing."""
    try:
        context.ports.registry.evaluated(context.case.name, version, evaluation)
    except EsteiraError as error:
        context.say(str(error))
        return "; its evaluation is not shown: " + str(error)
    return ""
