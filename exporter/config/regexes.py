"""Regular expressions: text to a compiled pattern of Python's `re`.

Pure. Raises ValueError with what to do about it; such a message does not quote the text, since
it may come from a variable.
"""

from __future__ import annotations

import re
import warnings

_QUOTATION = re.compile("(?<=range) .*|[^a-z ,:)>-].*", re.DOTALL)
"""Where `re` starts to quote the pattern in what it says."""


def regex(text: str) -> re.Pattern[str]:
    """The compiled pattern; what `re` only warns of, as `[[:alpha:]]`, is refused, too."""
    if not text:
        raise ValueError('this is empty: write a regular expression, as "media-.*", or remove it')
    if text.startswith("*"):
        raise ValueError(
            'a "*" repeats what is before it, and here is nothing: write ".*" for any text'
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text)
    except re.error as error:
        said = _QUOTATION.sub("", error.msg).strip()
        fault = f'at character {(error.pos or 0) + 1}: "{said}"'
    except (OverflowError, RecursionError):
        fault = "too large"
    except Warning:
        raise ValueError(
            "Python's regular expressions have no [:alpha:] and no sets in sets: "
            "inside of […] put a backslash before each of [ - & | ~"
        ) from None
    raise ValueError(f"this is not a regular expression of Python's ({fault}): fix it")
