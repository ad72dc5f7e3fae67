"""What one attempt may cost."""

MAX_SECONDS = 5.0
"""CPU seconds. An attempt that waits instead of computing, as for a pipe, is ended after `MAX_SILENCE`."""

MAX_SILENCE = 30.0
"""Wall-clock seconds without an answer; more than `MAX_SECONDS`, because a busy machine is slow."""

MAX_BYTES = 1 << 30
"""Memory beyond what the process held before."""
