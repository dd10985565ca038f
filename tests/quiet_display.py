"""A display for tests of the loop."""


class Quiet:
    """A display that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, number, text): ...
    def learning(self, row): ...
    def outcome(self, record): ...
    def note(self, text):
        self.notes.append(text)
