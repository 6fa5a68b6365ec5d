# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The fork guard: a forked child must never seal with its parent's keys (spec section 7.6).

A child that gevent resumes inside `fork()` would send under packet numbers that the parent then uses again:
AEAD nonce reuse. Poisoning in the child's own hook comes too late, because other hooks may run greenlets before
it. So a flag goes up *before* each fork and down again in the parent only; while it is up (in a child it stays
up) whoever seals or derives keys compares the process id with that of the owner of the keys.
"""

from __future__ import annotations

import os

from jsp.errors import ForkedConnection

_raised = False


def _before() -> None:
    global _raised
    _raised = True


def _in_parent() -> None:
    # In a child that forks again the flag stays up: keys of the first parent may still be around.
    global _raised
    _raised = os.getpid() != _home


_home = os.getpid()
os.register_at_fork(before=_before, after_in_parent=_in_parent)


def check_fork(owner: int) -> None:
    """Raise `ForkedConnection` unless the process `owner` is this one."""
    if _raised and os.getpid() != owner:
        raise ForkedConnection("this connection belongs to the parent process; a forked child must open its own")
