"""One processor, or several that share a tokenizer, in many threads: each call truncates and pads as it alone asks."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from processor_cases import make_siglip_tokenizer, make_tgq_former, make_tiger_fg, make_word_tokenizer

TEXTS = ["red mug lamp " * 9, "red", "", "mug lamp " * 5]
CALLS = 1000


@pytest.fixture(autouse=True)
def _switch_threads_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def count_wrong(calls) -> int:
    """Make each call alone, and then all of them in eight threads; count the other results."""
    alone = [call() for call in calls]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: calls[number % len(calls)](), range(CALLS)))
    return sum(result != alone[number % len(calls)] for number, result in enumerate(together))


@pytest.mark.parametrize("side", ["left", "right"])
def test_calls_with_other_lengths_do_not_mix(side):
    processor = make_tiger_fg(make_word_tokenizer(padding_side=side, truncation_side=side))
    calls = [
        lambda length=length, padding=padding: processor(text=TEXTS, max_length=length, padding=padding).data
        for length in (1, 2, 5, 11)
        for padding in (True, "max_length")
    ]
    assert count_wrong([*calls, lambda: processor.count_cut(TEXTS * 9)]) == 0


def test_processors_that_share_tokenizers_do_not_mix():
    tokenizers = make_word_tokenizer(), make_word_tokenizer("lamp mug red")
    processors = [make_tgq_former(*tokenizers, max_length=length, max_title_length=9 - length) for length in (1, 3, 8)]
    texts = [text for text in TEXTS if text]
    assert count_wrong([lambda processor=processor: processor(text=texts).data for processor in processors]) == 0


def test_a_tokenizer_in_python_does_not_mix(tmp_path):
    processor = make_tiger_fg(make_siglip_tokenizer(tmp_path))
    assert count_wrong([lambda length=length: processor(text=TEXTS, max_length=length).data for length in (2, 7)]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_worker_forked_during_a_call_tokenizes():
    processor, done = make_tiger_fg(), threading.Event()

    def tokenize():
        while not done.is_set():
            processor(text=TEXTS * 50)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(tokenize)
        try:
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    threading.Timer(20, os._exit, [1]).start()  # instead of waiting for ever
                    processor(text="red mug")
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            done.set()
