"""Streaming inference: step functions over Arrow batches, and what runs them."""
