"""validate: statistics, schema and anomalies of the events."""
