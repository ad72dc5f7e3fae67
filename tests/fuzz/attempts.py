"""Run many attempts in a child process, and attribute each crash, hang, peak and odd error to its case."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.limits import MAX_SILENCE

ROOT = Path(__file__).parents[2]
PROCESSORS = ("tiger_fg", "tgq_former", "tgq_former_clip")
FAILURES = ("crash", "hang", "peak", "unnamed", "NaN", "reach", "special")
"""Kinds of failures; the outcome of an attempt is `read`, `refused`, or begins with one of them."""


@dataclass
class Outcomes:
    """Outcomes of the attempts of one kind with one processor.

    Attributes:
        counts: Number of attempts by kind of outcome.
        failures: Case to outcome, for those that failed.
        slowest: CPU seconds of the slowest attempt and its case.
        largest: MiB of the largest attempt and its case.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")

    def add(self, case: str, outcome: str, seconds: float = 0.0, mib: float = 0.0) -> None:
        kind = outcome.partition(":")[0]
        self.counts[kind] += 1
        if kind in FAILURES:
            self.failures[case] = outcome
        self.slowest = max(self.slowest, (seconds, case))
        self.largest = max(self.largest, (mib, case))


def run_attempts(kind: str, processor: str, cases: Iterable[str], *, seed: int = 0) -> Outcomes:
    """Attempt cases in turn.

    Args:
        kind: `"pictures"` or `"records"`.
        processor: One of `PROCESSORS`.
        cases: Numbers of seeded cases as text, or names of handmade ones.
        seed: Seed of the numbered cases.
    """
    outcomes, child = Outcomes(), None
    try:
        for case in cases:
            child = child or _Child(kind, processor, seed)
            answer = child.ask(case)
            if "seconds" not in answer:
                child = child.end()
            outcomes.add(case, **answer)
    finally:
        if child is not None:
            child.end()
    return outcomes


class _Child:
    def __init__(self, kind: str, processor: str, seed: int):
        path = [str(ROOT / "src"), str(ROOT / "tests" / "fixtures"), str(ROOT)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.child", kind, processor, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        if self._answer(300) != "ready":
            self.end()
            raise RuntimeError(f"the child for {kind} with {processor} does not start")

    def ask(self, case: str) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{case}\n".encode())
        self._process.stdin.flush()
        return self._answer(MAX_SILENCE)

    def _answer(self, seconds: float):
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            return {"outcome": f"hang: no answer in {seconds:.0f} s"}
        line = self._process.stdout.readline()
        if not line:
            return {"outcome": f"crash: exit status {self._process.wait()}"}
        return json.loads(line)

    def end(self) -> None:
        try:
            self._process.communicate(timeout=5)  # it ends with its input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
