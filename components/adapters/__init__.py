"""The outside world, behind ports: what a task may ask for, and who answers it."""
