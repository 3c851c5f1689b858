"""Vertex AI's contract for custom containers: {"instances": [...]} -> {"predictions": [...]}.

An instance is an object by input, or an array in the inputs' order. `parameters` may say {"probabilities": true} for
the probability of every class (without it only a model of more than two classes gives them), and {"id": "..."} to name
the request where no header gets through, so that a label that lands later finds it in the log.

References
----------
https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements: an answer holds predictions and
nothing else, so that the model's version stands in the header `x-model-version`.
"""

from __future__ import annotations

from typing import Any

import orjson

from components.serving.asked import About, Answers, Asked, Limits, Parsed, Reply
from components.serving.body import Inputs
from components.serving.refusal import ABSENT, Refused
from components.serving.strict import check_keys

_KEYS = {"instances", "parameters"}
_PARAMETERS = {"probabilities", "id"}
_REMEDY = 'Send {"instances": [{...}, ...]}.'


def ask(parsed: Parsed, inputs: Inputs, limits: Limits) -> Asked:
    """What a predict request asks. Raises Refused."""
    data = parsed.data
    if parsed.binary is not None:
        name = "Inference-Header-Content-Length"
        raise Refused(400, name, "not be sent here", len(parsed.text), "Use the v2 infer route.")
    instances = data.get("instances", ABSENT)
    if type(instances) is not list or not instances:
        raise Refused(400, "instances", "be an array of at least one row", instances, _REMEDY)
    if len(instances) > limits.rows:
        raise Refused(413, "instances", f"hold at most {limits.rows} rows", len(instances), "Send several requests.")
    values = inputs.rows(instances)
    # Every row has exactly the inputs: without other texts that hold colons, this many show that no key stands twice.
    keys = len(instances) * len(inputs.names) if type(instances[0]) is dict else 0
    if len(data) > 1 or parsed.text.count(b":") != 1 + keys:
        check_keys(parsed.text, data)
    return Asked(len(instances), _WRITE[_wanted(data)], values=values, given=instances)


def identifier(data: dict[str, Any]) -> Any:
    """The id that a request's parameters give it, whatever it is; None where they give none."""
    parameters = data.get("parameters")
    return parameters.get("id") if type(parameters) is dict else None


def _wanted(data: dict[str, Any]) -> bool | None:
    """Whether probabilities are asked for; None: not said."""
    if len(data) == 1:
        return None
    unknown = next((key for key in data if key not in _KEYS), None)
    if unknown is not None:
        raise Refused(400, unknown, "be one of instances, parameters", unknown, _REMEDY)
    parameters = data["parameters"]
    if parameters is None:
        return None
    if type(parameters) is not dict:
        raise Refused(400, "parameters", "be an object", parameters, "Leave it out, or send an object.")
    for key, value in parameters.items():
        if key not in _PARAMETERS:
            raise Refused(400, key, "be a parameter: probabilities, id", key, "Leave it out.", where="parameters")
        if key == "probabilities" and type(value) is not bool:
            raise Refused(400, key, "be true or false", value, "Send true or false.", where="parameters")
    return parameters.get("probabilities")


def _with(identifier: str, about: About, answers: Answers) -> Reply:
    if answers.probabilities is None:
        return _without(identifier, about, answers)
    rows = zip(answers.score, answers.decision, answers.probabilities, strict=True)
    return Reply(orjson.dumps({"predictions": [{"score": s, "decision": d, "probabilities": p} for s, d, p in rows]}))


def _without(_identifier: str, _about: About, answers: Answers) -> Reply:
    rows = zip(answers.score, answers.decision, strict=True)
    return Reply(orjson.dumps({"predictions": [{"score": score, "decision": decision} for score, decision in rows]}))


def _default(identifier: str, about: About, answers: Answers) -> Reply:
    return (_with if len(about.classes) > 2 else _without)(identifier, about, answers)


_WRITE = {True: _with, False: _without, None: _default}
