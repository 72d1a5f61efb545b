"""Which text is safe to print: a terminal shows it as it is, whatever it holds. Imports nothing but Python's own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import IO, Final

# What a terminal obeys or hides instead of showing it: control characters, marks of direction and of format, line and
# paragraph separators, and bytes of file names that are no text.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Two of them are part of how words are spelt, in Persian and in the languages of India.
_SPELLING: Final = frozenset("\u200c\u200d")
# All of those lie outside of this.
_NOT_ASCII_TEXT: Final = re.compile(r"[^ -~]")


def shown(text: str, stream: IO[str] | None = None) -> str:
    """Text on one line that a terminal shows as it is, whatever it holds; letters of any script stay.

    Names, tags and messages may come from files, and what is in a file could move the cursor, turn the line round or
    end it.

    Parameters
    ----------
    text : str
        Anything.
    stream : file, optional
        Where it goes; characters that its encoding lacks are escaped too.

    Examples
    --------
    >>> print(shown("Zo\\u00eb \\x1b[2J\\u202e gpj.\\udcff"))
    Zo\u00eb \\x1b[2J\\u202e gpj.\\udcff
    """
    return escaped(text, stream, lambda character: character.encode("unicode_escape").decode())


def escaped(text: str, stream: IO[str] | None, escape: Callable[[str], str]) -> str:
    """Text in which every character that cannot be shown is replaced."""

    def replaced(match: re.Match[str]) -> str:
        character = match[0]
        if unicodedata.category(character) in _UNSEEN and character not in _SPELLING:
            return escape(character)
        try:
            character.encode(getattr(stream, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return escape(character)
        return character

    return _NOT_ASCII_TEXT.sub(replaced, text)
