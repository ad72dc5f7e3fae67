"""Run the whole harness and print what came of it as a table, and with `--output`, as JSON and Markdown.

    make fuzz N=20000
    python -m tests.fuzz --number 20000 --kills 100 --full_disks 50 --corruptions 100 --calls 2000 --output fuzz

Seeds are fixed, so that a case can be repeated: `--only pictures --cases 1234,eps`.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import datasets
from processor_cases import make_tgq_former, make_tiger_fg
from transformers.utils import logging

from tests.fuzz import encoding, full_disk, pictures, records
from tests.fuzz.attempts import FAILURES, PROCESSORS, run_attempts
from tests.fuzz.damage import damage_shards
from tests.fuzz.threads import differing_calls
from tests.fuzz.training import TrainingCases

PARTS = ("pictures", "records", "kills", "full_disks", "corruptions", "threads")


def main(argv: list[str] | None = None) -> int:
    """Return the number of failures, at most 1."""
    args = _parse(argv)
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    start = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for part in args.only or PARTS:
            for row in _run_part(part, args, Path(folder)):
                rows.append(row)
                print(_line(row), flush=True)
    result = {"seed": args.seed, "seconds": round(time.monotonic() - start, 1), "rows": rows}
    print(f"\n{result['seconds']:.0f} s")
    if args.output:
        Path(args.output).with_suffix(".json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        Path(args.output).with_suffix(".md").write_text(to_markdown(result))
    return int(any(row["failed"] for row in rows))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=20_000, help="Pictures and records for each processor.")
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs of encoding, and of training.")
    parser.add_argument("--full_disks", type=int, default=50, help="Disks that fill up; one in five while training.")
    parser.add_argument("--corruptions", type=int, default=100, help="Damages; half of shards, half of checkpoints.")
    parser.add_argument("--calls", type=int, default=2_000, help="Calls of each of 8 threads.")
    parser.add_argument("--seed", type=int, default=0, help="Another seed gives other cases.")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="Parts to run.")
    parser.add_argument("--cases", type=lambda text: text.split(","), help="Numbers or names, instead of --number.")
    parser.add_argument("--output", help="Write OUTPUT.json and OUTPUT.md.")
    return parser.parse_args(argv)


def _run_part(part: str, args: argparse.Namespace, folder: Path) -> Iterable[dict]:
    """Yield the rows of a part: its name, the number of attempts, outcomes, failures and seconds."""
    if part in ("pictures", "records"):
        handmade = {"pictures": pictures, "records": records}[part].HANDMADE
        cases = args.cases or [*map(str, range(args.number)), *handmade]
        for processor in PROCESSORS:
            start = time.monotonic()
            outcomes = run_attempts(part, processor, cases, seed=args.seed)
            row = _row(f"{part}, {processor}", outcomes.counts, outcomes.failures, start)
            yield row | {"slowest": outcomes.slowest, "largest": outcomes.largest}
    elif part == "kills":
        yield _repeated("SIGKILLs of encoding", args.kills, lambda seed: encoding.kill_and_resume(folder, seed))
        if args.kills > 1:
            training = TrainingCases(folder / "training")
            yield _repeated("SIGKILLs of training, two a run", args.kills // 2, training.kill_twice)
    elif part == "full_disks":
        if not full_disk.is_possible():
            yield _row("full disks", Counter(skipped=args.full_disks), {"all": "no mount namespaces here"}, 0.0)
            return
        train = args.full_disks // 5
        count = args.full_disks - train
        yield _repeated("full disks, encoding", count, lambda seed: full_disk.run("encode", folder, seed))
        if train:
            TrainingCases(folder / "training")
            yield _repeated(
                "full disks, training", train, lambda seed: full_disk.run("train", folder / "training", seed)
            )
    elif part == "corruptions":
        encoding.encode(folder / "encoded")
        half = args.corruptions // 2
        yield _repeated(
            "damaged shards",
            args.corruptions - half,
            lambda seed: damage_shards(folder / "encoded", folder / f"shards-{seed}", seed),
        )
        if half:
            training = TrainingCases(folder / "training")
            yield _repeated("damaged checkpoints", half, training.corrupt)
    else:
        for name, make, mixed in (("tiger_fg", make_tiger_fg, True), ("tgq_former", make_tgq_former, False)):
            start = time.monotonic()
            wrong = differing_calls(make, 8, args.calls, mixed_lengths=mixed)
            counts = Counter(equal=8 * args.calls - wrong, differing=wrong)
            failures = {"calls": f"{wrong} differ"} if wrong else {}
            yield _row(f"threads, {name}", counts, failures, start) | {"failed": wrong}


def _repeated(name: str, count: int, run) -> dict:
    start, counts, failures = time.monotonic(), Counter(), {}
    for seed in range(count):
        try:
            outcome = run(seed)
        except Exception as error:
            outcome = f"{type(error).__name__}: {str(error)[-300:]}"
        good = outcome in ("equal", "detected")
        counts[outcome if good else "failed"] += 1
        if not good:
            failures[str(seed)] = outcome
    return _row(name, counts, failures, start)


def _row(name: str, counts: Counter, failures: dict[str, str], start: float) -> dict:
    attempts = sum(counts.values())
    seconds = round(time.monotonic() - start, 1) if start else 0.0
    return {
        "name": name,
        "attempts": attempts,
        "outcomes": {kind: count for kind, count in sorted(counts.items()) if count},
        "failed": len(failures),
        "failures": dict(list(failures.items())[:50]),
        "seconds": seconds,
    }


def to_markdown(result: dict) -> str:
    """Return the table, with the failures below it."""
    lines = ["| part | attempts | failed | outcomes | slowest (CPU s) | largest (MiB) | seconds |"]
    lines.append("|---|---:|---:|---|---:|---:|---:|")
    lines += [_line(row) for row in result["rows"]]
    lines += ["", f"Seed {result['seed']}, {result['seconds']:.0f} s in all. Failures: {', '.join(FAILURES)}.", ""]
    for row in result["rows"]:
        lines += [f"- {row['name']}, case {case}: {' '.join(text.split())}" for case, text in row["failures"].items()]
    return "\n".join(lines) + "\n"


def _line(row: dict) -> str:
    outcomes = ", ".join(f"{kind} {count}" for kind, count in row["outcomes"].items())
    slowest, largest = (f"{row[name][0]:g} ({row[name][1]})" if name in row else "" for name in ("slowest", "largest"))
    cells = (row["name"], row["attempts"], row["failed"], outcomes, slowest, largest, row["seconds"])
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    raise SystemExit(main())
