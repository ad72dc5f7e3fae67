"""A lock around tokenizers, which keep the truncation and padding of the call in progress."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Of the process rather than of a tokenizer, because shallow copies of a tokenizer share its state. The tokenizers
# library splits a batch over all cores, so threads lose little by taking turns.
_lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    # Without it, a worker that is forked while another thread tokenizes would wait for ever.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@contextmanager
def tokenizing() -> Iterator[None]:
    """Keep other threads from tokenizing.

    A call of a fast tokenizer sets truncation and padding on an object that all calls share, and tokenizes afterwards.
    """
    with _lock:
        yield
