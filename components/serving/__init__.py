"""The prediction server: numpy, onnxruntime, orjson, httptools and uvloop; no Arrow, no pydantic."""
