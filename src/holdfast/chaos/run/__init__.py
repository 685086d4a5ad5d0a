"""One run of an experiment, and what came of it."""
