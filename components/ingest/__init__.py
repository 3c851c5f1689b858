"""Files to schema-checked Parquet events and reference tables, with a dead letter for what does not parse."""
