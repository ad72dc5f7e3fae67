"""One processor used by several threads with different options gives what it gives alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

TEXTS = ["red mug " * size for size in (1, 2, 5, 20)]
LENGTHS = (3, 5, 9, 64)


def differing_calls(make_processor, num_threads: int, num_calls: int, *, mixed_lengths: bool) -> int:
    """Return how many of `num_threads` x `num_calls` calls differ from the same calls made alone.

    Args:
        make_processor: Makes a processor.
        num_threads: Number of threads.
        num_calls: Calls of each thread.
        mixed_lengths: Pass different `max_length` to the calls; TGQ-Former's processor has no such option.
    """
    shared = make_processor()
    options = [{"max_length": length} for length in LENGTHS] if mixed_lengths else [{}]
    calls = [{"text": texts, **option} for texts in (TEXTS[:2], TEXTS[2:], TEXTS) for option in options]
    expected = [make_processor()(**call) for call in calls]

    def work(thread: int) -> int:
        wrong = 0
        for number in range(num_calls):
            index = (thread * 7 + number) % len(calls)
            try:
                found = shared(**calls[index])
            except Exception:  # an error of another thread's option is a difference too
                wrong += 1
                continue
            wrong += any(not np.array_equal(found[name], values) for name, values in expected[index].items())
        return wrong

    with ThreadPoolExecutor(num_threads) as pool:
        return sum(pool.map(work, range(num_threads)))
