"""What an attribute of an HDF5 file says, whichever program wrote it.

netCDF writes an empty text as a null value, MATLAB and HighFive wrap a single value in an array,
some write a word for a truth value: ``str()``, ``bool()`` and ``float()`` of those are wrong.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

# What the HDF5 library and h5py raise on content they cannot make sense of.
READ_ERRORS = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    SystemError,
)
_WORDS = {
    **dict.fromkeys(("true", "yes", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "0", "f", "n"), False),
}
_LARGEST = 1 << 26  # values; what claims to hold more is damaged


class Facts(dict[str, Any]):
    """The attributes of one file as plain Python, and what was wrong with some.

    Attributes:
        problems: one sentence for each attribute that could not be read as what it should be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def read(self, attributes: h5py.AttributeManager) -> None:
        """Takes over all attributes; one that cannot be read is a problem, not an end."""
        for name in attributes:
            try:
                if _size(attributes.get_id(name).shape) > _LARGEST:
                    raise ValueError("it claims more values than a file can hold")
                value = plain(attributes[name])
            except READ_ERRORS as error:
                self.problems.append(f"the attribute {name} cannot be read: {_reason(error)}")
                continue
            if value is not None:
                self[name] = value

    def read_group(self, group: h5py.Group) -> None:
        """Takes over the values that were too large for an attribute."""
        for name in group:
            try:
                item = group[name]
                if not isinstance(item, h5py.Dataset):
                    raise ValueError("it is no value")
                if _size(item.shape) > _LARGEST:
                    raise ValueError("it claims more values than a file can hold")
                value = plain(item[()])
            except READ_ERRORS as error:
                self.problems.append(f"the attribute {name} cannot be read: {_reason(error)}")
                continue
            if value is not None:
                self[name] = value

    def text(self, name: str) -> str:
        """The one text of that name; empty when there is none."""
        value = _single(self.get(name, ""))
        if isinstance(value, str):
            return value
        self._wrong(name, "one text")
        return ""

    def flag(self, name: str, default: bool, otherwise: bool) -> bool:
        """The truth value of that name; ``otherwise`` when it is neither true nor false."""
        value = _single(self.get(name, default))
        if isinstance(value, str):
            value = _WORDS.get(value.strip().lower(), value)
        if isinstance(value, bool) or (isinstance(value, (int, float)) and value in (0, 1)):
            return bool(value)
        self._wrong(name, "true or false")
        return otherwise

    def number(self, name: str) -> float | None:
        """The finite number of that name; None when there is none."""
        value = _single(self.get(name))
        if value is None:
            return None
        number = _number(value)
        if number is None:
            self._wrong(name, "a number")
        return number

    def count(self, name: str) -> int | None:
        """The whole number, 0 or above, of that name; None when there is none."""
        if self.get(name) is None:
            return None
        number = _number(_single(self[name]))
        if number is None or number < 0 or number != int(number):
            self._wrong(name, "a whole number")
            return None
        return int(number)

    def _wrong(self, name: str, wanted: str) -> None:
        said = f"{name} is {str(self[name])[:60]!r}, not {wanted}; it is left aside"
        if said not in self.problems:
            self.problems.append(said)


def plain(value: Any) -> Any:
    """A stored value as plain Python: text as str, scalars as numbers; nothing as None."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return [decode(item) for item in value.ravel()]
        return value
    if isinstance(value, np.generic):
        return plain(value.item()) if not isinstance(value, np.void) else str(value)
    return value


def decode(value: Any) -> str:
    """Text of bytes, as UTF-8; what is not UTF-8 is marked, never an error."""
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return text.encode("utf-8", errors="replace").decode("utf-8").rstrip("\0")


def _single(value: Any) -> Any:
    """The one value of an array that holds one; another array, and a plain value, as it is."""
    if isinstance(value, (list, np.ndarray)) and len(np.ravel(value)) == 1:
        value = plain(np.ravel(value)[0])
        return str(value) if isinstance(value, np.str_) else value
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _size(shape: tuple[int, ...] | None) -> int:
    return 0 if shape is None else math.prod(shape)


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]
