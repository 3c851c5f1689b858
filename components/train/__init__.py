"""train: a scikit-learn pipeline, exported to ONNX and proven equal to it."""
