"""The process in which attempts run: reads the name of a case per line, answers with what happened as JSON.

Started by `attempts.py`, which sees it die or fall silent.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from processor_cases import make_tgq_former, make_tiger_fg, make_word_tokenizer
from transformers import CLIPImageProcessorPil

from tests.fuzz import pictures, records
from tests.fuzz.limits import MAX_BYTES, MAX_SECONDS
from tiger_fg_hf import TGQFormerProcessor

# Events of Python's audit that no attempt may cause: reading never starts programs and never opens connections.
_OUT_OF_REACH = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo")


def _tokenizer():
    return make_word_tokenizer("red mug", sep_token="[SEP]", eos_token="<|endoftext|>")


def _clip() -> TGQFormerProcessor:
    """TGQ-Former with an image processor of transformers."""
    images = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return TGQFormerProcessor(images, _tokenizer(), _tokenizer())


PROCESSORS = {
    "tiger_fg": lambda: make_tiger_fg(_tokenizer()),
    "tgq_former": lambda: make_tgq_former(_tokenizer(), _tokenizer()),
    "tgq_former_clip": _clip,
}


def main(kind: str, processor_name: str, seed: str) -> None:
    warnings.simplefilter("ignore")
    # A second fence, so that a bomb raises MemoryError here before it harms the machine.
    resource.setrlimit(resource.RLIMIT_DATA, (_memory("VmData") + 4 * MAX_BYTES, resource.RLIM_INFINITY))
    events: list[str] = []
    sys.addaudithook(lambda event, _: events.append(event) if event in _OUT_OF_REACH else None)
    processor = PROCESSORS[processor_name]()
    attempt = {"pictures": _attempt_picture, "records": _attempt_record}[kind]
    attempt(processor, int(seed), "0")  # warms up
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        case = line.strip()
        outcome, cost = _measured(lambda case=case: attempt(processor, int(seed), case))
        if events:
            outcome = f"reach: {', '.join(dict.fromkeys(events))}"
            events.clear()
        print(json.dumps({"outcome": outcome, **cost}), flush=True)


def _measured(attempt) -> tuple[str, dict[str, float]]:
    """Return the outcome of an attempt with its CPU seconds and peak memory."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = _memory("VmRSS"), time.process_time()
    outcome = attempt()
    seconds, peak = time.process_time() - start, max(_memory("VmHWM") - before, 0)
    if seconds > MAX_SECONDS:
        outcome = f"hang: {seconds:.1f} s ({outcome})"
    elif peak > MAX_BYTES:
        outcome = f"peak: {peak / 2**20:.0f} MiB ({outcome})"
    return outcome, {"seconds": round(seconds, 3), "mib": round(peak / 2**20)}


def _memory(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _attempt_picture(processor, seed: int, case: str) -> str:
    picture = pictures.picture(seed, case)
    good = Image.new("RGB", (4, 4), "red")
    return _judge(lambda: processor(images=[good, picture], text=["red", "mug"], return_tensors="np"), "images[1]")


def _attempt_record(processor, seed: int, case: str) -> str:
    record = records.record(seed, case)
    good = Image.new("RGB", (4, 4), "red")
    return _judge(lambda: processor(images=[good, good], text=["red", record], return_tensors="np"), "text[1]")


def _judge(call, name: str) -> str:
    """Call, and say what came of it: `read`, `refused` (an error that names the item), or a failure."""
    try:
        outputs = call()
    except ValueError as error:
        text = str(error)
        return "refused" if name in text or "item 1" in text else f"unnamed: {type(error).__name__}: {text[:200]}"
    except MemoryError:
        return "peak: out of memory"
    except BaseException as error:
        return f"unnamed: {type(error).__name__}: {_text(error)}"
    if not all(np.isfinite(values).all() for values in outputs.values()):
        return "NaN"
    return "special: a token of the text became special" if _has_special(outputs) else "read"


def _has_special(outputs: Any) -> bool:
    # Neither processor here adds special tokens, so each one comes from the record. 1 is the unknown word.
    special = [0, *_tokenizer().all_special_ids]
    special = [token for token in special if token != 1]
    return any(
        bool(np.isin(outputs[name][1][outputs[name.replace("input_ids", "attention_mask")][1] == 1], special).any())
        for name in outputs
        if name.endswith("input_ids")
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)[:200]
    except Exception:
        return "without a text"


if __name__ == "__main__":
    main(*sys.argv[1:])
