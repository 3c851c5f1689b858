"""evaluate: the challenger and the champion on one holdout, and the gate's verdict."""
