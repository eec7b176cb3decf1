"""ksem's errors."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple, Type

Words = Tuple[str, str, str]


class KsemError(Exception):
    """What every error of ksem is. Its subclasses say which part has to change for it to go away.

    ``str(error)`` is one line for logs. It never holds a secret. Where a handler raised, ``__cause__`` is the very
    exception that it raised, with its own traceback.
    """

    code: str
    """The stable name, such as ``"producer_fenced"``."""
    number: int
    """The stable number, such as ``3001``."""
    class_: str
    """``"config"``, ``"unavailable"``, ``"transaction"``, ``"handler"``, ``"data"`` or ``"internal"``."""
    retry: str
    """What to do: ``"never"`` the same call again, ``"retry"`` it, or ``"reopen"`` the pipeline."""
    outcome: str
    """What became of the batch or the call: ``"not_applied"``, ``"applied"`` or ``"unknown"``."""
    message: str
    """The text without code and context."""
    context: Dict[str, str]
    """Facts, such as ``{"topic": "orders"}``."""

    def __init__(
        self,
        text: str,
        code: str,
        number: int,
        words: Words,
        message: str,
        context: Mapping[str, str],
    ) -> None:
        # All of them are arguments, so that the error can be pickled.
        super().__init__(text, code, number, words, message, dict(context))
        self.code = code
        self.number = number
        self.class_, self.retry, self.outcome = words
        self.message = message
        self.context = dict(context)

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigError(KsemError):
    """The configuration, or a call, is wrong."""


class UnavailableError(KsemError):
    """A broker can't be reached, or can't serve now."""


class TransactionError(KsemError):
    """The transaction, or the membership in the group, was lost."""


class HandlerError(KsemError):
    """The handler failed. ``__cause__`` is what it raised."""


class DataError(KsemError):
    """The data is not where it was promised to be."""


class InternalError(KsemError):
    """A bug in ksem, or something that nobody foresaw."""


_CLASSES: Dict[str, Type[KsemError]] = {
    "config": ConfigError,
    "unavailable": UnavailableError,
    "transaction": TransactionError,
    "handler": HandlerError,
    "data": DataError,
    "internal": InternalError,
}


def make(text: str, code: str, number: int, words: Words, *rest: Any) -> KsemError:
    """Make an error of its class; the native part calls it."""
    return _CLASSES.get(words[0], InternalError)(text, code, number, words, *rest)
