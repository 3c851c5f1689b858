"""preprocess: enrich, transform and split the events in a Beam job."""
