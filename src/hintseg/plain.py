"""Text of strangers -> text that a terminal only shows: no control characters, no turned lines.

A file can be called so that a terminal that prints its name changes colours, clears the screen or
answers as if somebody had typed. Names and values of files go through `plain` on their way out.
"""

import re

CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 and C1: escape sequences, line ends
    "\u2028\u2029"  # more line ends
    "\u202a-\u202e\u2066-\u2069]"  # writing from right to left, which turns endings of names round
)
LINE_ENDS = ("\n", "\t")  # of our own messages
LONGEST = 4000  # letters of a message


def plain(text: str) -> str:
    r"""A text for a terminal: control characters as escapes, those of lines and tabs kept.

    Example:
        >>> print(plain("cow\x1b[2J.png: no image"))
        cow\x1b[2J.png: no image
    """
    return CONTROL.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""The same for a name, which has no lines.

    Example:
        >>> print(one_line("cow\nhintseg: all is well"))
        cow\nhintseg: all is well
    """
    return CONTROL.sub(lambda found: _as_escape(found[0]), text)


def message(text: str) -> str:
    """A message for a terminal, of a length that a person reads."""
    found = plain(text)
    return found if len(found) <= LONGEST else f"{found[: LONGEST - 3]}..."


def has_control(text: str) -> bool:
    """Whether a name holds what no name needs."""
    return CONTROL.search(text) is not None


def is_text(name: str) -> bool:
    """Whether a name can be written to a file; half a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder of ours, on any system, and of no other.

    Example:
        >>> is_file_name("val-2"), is_file_name("../val"), is_file_name("c:val")
        (True, False, False)
    """
    odd = has_control(name) or not is_text(name) or any(letter in name for letter in '/\\:*?"<>|')
    return bool(name.strip()) and not odd and not name.startswith(".") and len(name) < 100


def without_control(text: str) -> str:
    """A name with spaces for what no name needs."""
    return CONTROL.sub(" ", text) if has_control(text) else text


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0] in LINE_ENDS else _as_escape(found[0])


def _as_escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
