"""Many trainings, tasks x seeds x settings: planned, carried out, and put into one table."""
