"""report.html (placeholder until the page is written)."""

from pathlib import Path


def write_report(folder):
    return Path(folder) / "report.html"
