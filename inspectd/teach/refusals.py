"""What is refused in teaching, with a word for programs that say it in another language."""

from __future__ import annotations

from inspectd.errors import InputError


class TeachRefusedError(InputError):
    """Something cannot be done so, and nothing changed.

    Attributes:
        word: the kind of reason; the page has a sentence for each.
    """

    def __init__(self, word: str, message: str) -> None:
        """Refuse with a message for people."""
        super().__init__(message)
        self.word = word
