"""A run as a person reads it: one model, built from the run's events alone, and a writer for each form of it."""
