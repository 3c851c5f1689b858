"""OpenAPI 3.1 of the server, built from the inputs of the model that it serves.

References
----------
https://spec.openapis.org/oas/v3.1.0; its schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.core.columns import ColumnType
from components.serving import oip, tensors
from components.serving.asked import Limits
from components.serving.body import Input
from components.serving.settings import Settings
from components.serving.versions import Served

_LARGEST = 1.7976931348623157e308
_WHOLE = 2**53
_LONG, _SHORT = r"(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])", r"(0[469]|11)-(0[1-9]|[12]\d|30)"
_DAY = rf"\d{{4}}-({_LONG}|{_SHORT}|02-(0[1-9]|[12]\d))"
_ISO = rf"^{_DAY}([T ]([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d+)?)?)?(Z|[+-](0\d|1\d|2[0-3])(:?[0-5]\d)?)?)?$"
_TYPES: dict[ColumnType, dict[str, Any]] = {
    "number": {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
    "bool": {"enum": [True, False, 0, 1]},
    "string": {"type": "string"},
    "id": {"oneOf": [{"type": "string"}, {"type": "integer", "minimum": -_WHOLE, "maximum": _WHOLE}]},
    "timestamp": {"type": "string", "pattern": _ISO},
}
_PLAIN: dict[ColumnType, Any] = {"number": 1.0, "bool": True, "string": "text", "id": "A1", "timestamp": ""}
_MODEL_TAGS = {"predict": "Vertex AI", "infer": "Open Inference Protocol v2", "state": "State"}


def document(settings: Settings, case: str, champion: Served | None) -> dict[str, Any]:
    """The description of every route; without a champion that of the routes without its inputs."""
    inputs = champion.inputs.all if champion is not None else ()
    example = examples(champion)
    about = "What says how to ask is free; predictions and metrics need the token."
    version = str(champion.version) if champion is not None else "none yet"
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{case}: predictions", "version": version, "description": about},
        "paths": {
            settings.predict: _post("predict", "Predictions of rows", "Predict", "Predicted", {"instances": [example]}),
            **_models(f"/v2/models/{case}", champion.version if champion is not None else 1, _tensors(inputs, example)),
            "/v2": _get("server", "The server's name and extensions", "infer", "Server"),
            "/v2/health/live": _get("live", "Whether the process lives", "state", "Live"),
            "/v2/health/ready": _get("ready", "Whether requests are answered", "state", "Ready", 503),
            settings.health: _get("health", "The same, on Vertex AI's route", "state", "Ready", 503),
            "/metrics": _metrics(),
        },
        "components": {
            "schemas": _schemas(inputs, example, settings.limits),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Refused": _json("Error", "What is wrong, where, and what to do")},
        },
    }


def _models(model: str, version: int, example: Mapping[str, Any]) -> dict[str, Any]:
    """The routes of the model, and the same of one version; `version` is an example."""
    infer = _post("infer", "Predictions of tensors", "Infer", "Inferred", example)
    metadata = _get("metadata", "The model's inputs and outputs", "infer", "Metadata", 503)
    ready = _get("modelReady", "Whether the model answers", "infer", "Ready", 503)
    one = f"{model}/versions/{{version}}"
    return {
        f"{model}/infer": infer,
        model: metadata,
        f"{model}/ready": ready,
        f"{one}/infer": _versioned(infer, "versionInfer", "Predictions of tensors by one version", version),
        one: _versioned(metadata, "versionMetadata", "The same, of a version that is served", version),
        f"{one}/ready": _versioned(ready, "versionReady", "Whether a version answers", version),
    }


def examples(served: Served | None) -> dict[str, Any]:
    """One row: of numbers a usual one that training saw; who has no token sees none of its texts and ids."""
    if served is None:
        return {}
    found = {one.name: _example(one, served.baseline.get(one.name, {})) for one in served.inputs.all}
    times = {one.name for one in served.inputs.all if one.kind == "timestamp"}
    return {name: served.scorer.model.trained_to if name in times else value for name, value in found.items()}


def _example(one: Input, seen: Mapping[str, Any]) -> Any:
    if one.kind == "number" and seen.get("edges"):
        return float(f"{seen['edges'][len(seen['edges']) // 2]:.4g}")
    return _PLAIN[one.kind]


def _schema(one: Input) -> dict[str, Any]:
    kind = _TYPES[one.kind]
    if one.kind == "string" and not one.missing:
        kind = {**kind, "minLength": 1}
    found: dict[str, Any] = {"oneOf": [kind, {"type": "null"}]} if one.missing else dict(kind)
    words = [one.description, "null is missing" if one.missing else ""]
    found["description"] = "; ".join(word for word in (one.kind, *words) if word)
    return found


def _schemas(inputs: tuple[Input, ...], example: dict[str, Any], limits: Limits) -> dict[str, Any]:
    columns = {one.name: _schema(one) for one in inputs}
    row = _object(columns) | {"examples": [example]}
    width = len(inputs)
    values = {"type": "array", "prefixItems": list(columns.values()), "minItems": width, "maxItems": width}
    rows = {"type": "array", "minItems": 1, "maxItems": limits.rows}
    either = {"oneOf": [rows | {"items": _ref("Row")}, rows | {"items": values}]}
    named = {"type": ["string", "null"], "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"}
    wanted = _object({"probabilities": {"type": "boolean"}, "id": named}, required=()) | {"type": ["object", "null"]}
    score: dict[str, Any] = {"type": ["number", "null"]}
    one = {"score": score, "decision": {"type": "string"}, "probabilities": {"type": "array", "items": score}}
    text = {"type": "string"}
    error = dict.fromkeys(("error", "parameter", "rule", "value", "remedy", "where"), text)
    return {
        "Row": row,
        "Predict": _object({"instances": either, "parameters": wanted}, required=("instances",)),
        "Predicted": _object({"predictions": {"type": "array", "items": _object(one, required=("score", "decision"))}}),
        **_protocol(inputs, limits),
        "Ready": _object({"ready": {"type": "boolean"}, "why": text}, required=("ready",)),
        "Live": _object({"live": {"const": True}}),
        "Error": _object(error, required=("error", "parameter", "rule", "value", "remedy")),
    }


def _protocol(inputs: tuple[Input, ...], limits: Limits) -> dict[str, Any]:
    """The schemas of the Open Inference Protocol."""
    text, many = {"type": "string"}, {"type": "object"}
    shape = {"type": "array", "items": {"type": "integer"}}
    tensor = {"name": text, "shape": shape, "datatype": text, "parameters": many, "data": {"type": "array"}}
    asked = [
        {**tensor, "name": {"const": one.name}, "datatype": {"enum": sorted(tensors.TAKEN[one.kind])}} for one in inputs
    ]
    size = {"type": "integer", "minimum": 1, "maximum": limits.rows}
    short = {"type": "array", "prefixItems": [size, {"const": 1}], "minItems": 1, "maxItems": 2}
    given = [_object({**one, "shape": short}, required=("name", "shape", "datatype")) for one in asked]
    output = _object({"name": {"enum": list(oip.OUTPUTS)}, "parameters": many}, required=("name",))
    request = {
        "id": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"},
        "parameters": many,
        "inputs": {"type": "array", "items": {"oneOf": given} if given else {}, "minItems": 1},
        "outputs": {"type": "array", "items": output},
    }
    answered = _object(tensor, required=("name", "shape", "datatype"))
    answer = {"model_name": text, "model_version": text, "id": text, "outputs": {"type": "array", "items": answered}}
    described = {"type": "array", "items": _object({"name": text, "datatype": text, "shape": shape})}
    texts = {"type": "array", "items": text}
    metadata = {"name": text, "versions": texts, "platform": text, "inputs": described, "outputs": described}
    return {
        "Infer": _object(request, required=("inputs",)),
        "Inferred": _object(answer),
        "Metadata": _object(metadata),
        "Server": _object({"name": text, "version": text, "extensions": texts}),
    }


def _object(properties: Mapping[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    names = list(properties) if required is None else list(required)
    made = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return made | ({"required": names} if names else {})


def _tensors(inputs: tuple[Input, ...], example: Mapping[str, Any]) -> dict[str, Any]:
    made = [
        {"name": one.name, "shape": [1], "datatype": tensors.DATATYPES[one.kind], "data": [example[one.name]]}
        for one in inputs
    ]
    return {"inputs": made}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: str, words: str) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": _ref(schema)}}}


def _refused(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": "#/components/responses/Refused"} for status in statuses}


def _post(name: str, words: str, request: str, answer: str, example: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(request), "example": example}}
    text = {"type": "string"}
    headers = {"x-request-id": {"schema": text}, "x-model-version": {"schema": text}}
    identifier = {
        "name": "x-request-id",
        "in": "header",
        "description": "Names the request; it decides which version answers, and is in the log.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    }
    operation = {
        "operationId": name,
        "summary": words,
        "tags": [_MODEL_TAGS[name]],
        "security": [{"token": []}],
        "parameters": [identifier],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {**_json(answer, "The predictions"), "headers": headers},
            **_refused(400, 401, 408, 413, 415, 431, 500, 503),
        },
    }
    return {"post": operation}


def _get(name: str, words: str, tag: str, answer: str, *statuses: int) -> dict[str, Any]:
    """A route without a token; of readiness, the answer says the same whether it is or not."""
    answers = {str(status): _json("Ready" if answer == "Ready" else "Error", "Not now") for status in statuses}
    found = {"200": _json(answer, words), **answers, **_refused(400, 405)}
    return {"get": {"operationId": name, "summary": words, "tags": [_MODEL_TAGS[tag]], "responses": found}}


def _versioned(route: Mapping[str, Any], name: str, words: str, version: int) -> dict[str, Any]:
    """The route with a version in its path; another than those that are served is not found."""
    number = {"type": "integer", "minimum": 1, "maximum": 999_999_999}
    asked = {"name": "version", "in": "path", "required": True, "schema": number, "example": version}
    return {
        verb: {
            **operation,
            "operationId": name,
            "summary": words,
            "parameters": [asked, *operation.get("parameters", ())],
            "responses": {**operation["responses"], **_refused(404)},
        }
        for verb, operation in route.items()
    }


def _metrics() -> dict[str, Any]:
    found = {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
    operation = {"operationId": "metrics", "summary": "Metrics for Prometheus", "tags": [_MODEL_TAGS["state"]]}
    return {"get": {**operation, "security": [{"token": []}], "responses": {"200": found, **_refused(400, 401)}}}
