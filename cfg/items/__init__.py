"""Items of the benchmark of instructions: files of scenes with what is asked in them, and what is right."""
