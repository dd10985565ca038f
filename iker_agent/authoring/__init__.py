"""For who writes a task: is it sound, and what does it look like?"""
