"""Streaming inference: pure steps over Arrow batches, and the loop that runs them on one machine."""
