"""Comparisons that end in a table."""
