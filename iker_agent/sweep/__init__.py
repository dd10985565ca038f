"""Many trainings, tasks x seeds x settings: what is planned, each carried out, and one table of what came of them."""
