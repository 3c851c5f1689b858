"""From a case to a run: compile, run here, and what each needs."""
