"""Hands ksem's log records to ``logging``: to the logger ``ksem`` and those below it.

Native threads only put them into a queue; this thread takes them out. So a handler of ``logging`` that is slow, or
waits for a lock, holds nothing up but other log records.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import Optional

from . import _ksem

_LOGGER = logging.getLogger("ksem")
#: Seconds after which a level that was changed is noticed, at the latest.
_LOOK = 0.5

_lock = threading.Lock()
_thread: Optional[threading.Thread] = None
_stop = threading.Event()


def start() -> None:
    """Start handing over, unless that was done before; the native part calls it."""
    global _thread
    _look()
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="ksem-logging", daemon=True)
            _thread.start()


def _look() -> None:
    _ksem.set_log_level(min(_LOGGER.getEffectiveLevel(), 255))


def _run() -> None:
    while not _stop.is_set():
        _hand_over(_LOOK)
        _look()


def _hand_over(timeout: float) -> None:
    for name, level, text in _ksem.next_logs(timeout):
        logger = logging.getLogger(name)
        if logger.isEnabledFor(level):
            logger.handle(logger.makeRecord(name, level, "(ksem)", 0, text, (), None))


def _at_exit() -> None:
    """Close what is open, say what is left to say, and leave no thread in native code."""
    try:
        _ksem.close_all()
    finally:
        _stop.set()
        thread = _thread
        if thread is not None:
            thread.join()
            _hand_over(0.0)


def _after_fork() -> None:
    global _thread, _lock
    _thread, _lock = None, threading.Lock()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
