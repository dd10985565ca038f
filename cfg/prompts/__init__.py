"""Prompts for vision-language models, one purpose per file."""
