"""From a look to a goal: prompt, question, checks, repairs."""
