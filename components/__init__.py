"""Kubeflow Pipelines components for tabular models."""

ROUTE = ("ingest", "validate", "preprocess", "train", "evaluate", "register", "deploy", "predict", "monitor", "notify")
"""batch's components in the order in which data flows; notify is its exit handler."""
COMPONENTS = (*ROUTE[: ROUTE.index("predict")], "canary", *ROUTE[ROUTE.index("predict") :])
"""Those of every pipeline, in that order."""
