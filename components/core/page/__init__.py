"""The parts of the report page: markup, style, axes, charts, the route's picture."""
