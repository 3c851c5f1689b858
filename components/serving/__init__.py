"""The prediction server: one ASGI app over the scorer."""
