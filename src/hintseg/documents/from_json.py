"""JSON from strangers -> plain values."""

import json
import math
from typing import Any


def parse_json(text: str | bytes, *, finite: bool = False) -> Any:  # noqa: ANN401
    """The value of a JSON document.

    Args:
        text: The document; bytes are UTF-8.
        finite: Refuse NaN and infinity, which Python writes and JSON does not know, and numbers
            such as 1e999.

    Raises:
        ValueError: No JSON (json.JSONDecodeError), nested without end, a whole number of more than
            4300 digits.

    Example:
        >>> parse_json("[" * 100_000)
        Traceback (most recent call last):
            ...
        ValueError: nested too deeply
    """
    try:
        if finite:
            return json.loads(text, parse_constant=_refused, parse_float=_finite)
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "string conversion" in str(error):  # Python's words are advice for programmers
            raise ValueError("a number of thousands of digits") from error
        raise


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is larger than any number")
    return value
