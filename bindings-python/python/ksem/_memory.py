"""Read-only views on memory of the native part, without a copy.

The stable interface of CPython 3.9 has no way for an extension to offer a buffer, so ``ctypes`` lends its own.
"""

from __future__ import annotations

import ctypes


class _Memory(ctypes.Array):  # type: ignore[type-arg]
    """Memory that somebody else has. It is never looked at as a whole: a view is cut to the size that is known."""

    _type_ = ctypes.c_ubyte
    _length_ = 0x7FFF_FFFF

    owner: object


def view(address: int, length: int, owner: object) -> memoryview:
    """Return a view on ``length`` bytes at ``address``, which stay there as long as ``owner`` does."""
    memory = _Memory.from_address(address)
    memory.owner = owner
    return memoryview(memory).cast("B")[:length].toreadonly()
