"""notify: the exit handler: the report page, and alerts to whom it concerns."""
