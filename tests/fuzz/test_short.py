"""A short run of the harness. `make fuzz` runs it at length; `known_failures.py` lists what fails today."""

import warnings
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processor_cases import make_tgq_former, make_tiger_fg

from tests.fuzz import encoding, full_disk, pictures, records
from tests.fuzz.attempts import run_attempts
from tests.fuzz.damage import damage_shards
from tests.fuzz.known_failures import KNOWN_FAILURES, SEEDED
from tests.fuzz.threads import differing_calls
from tiger_fg_hf.catalog.record import read_box
from tiger_fg_hf.models.record_text import clean_text, value_text

NUMBER = 60


def check(part: str, failures: dict[str, str]) -> None:
    """Fail for every failure that is not in the list, and warn of cases in the list that pass."""
    known = KNOWN_FAILURES.get(part, set())
    names = {SEEDED if case.isdigit() else case for case in failures}
    if mended := sorted(known - names):
        warnings.warn(f"{part}: {', '.join(mended)} pass now: take them out of known_failures.py", stacklevel=2)
    new = [f"{case}: {text}" for case, text in failures.items() if (SEEDED if case.isdigit() else case) not in known]
    assert not new, "\n".join(new)


# The other processors read pictures and records with the same code.
@pytest.mark.parametrize(
    ("module", "processor"),
    [(pictures, "tiger_fg"), (pictures, "tgq_former_clip"), (records, "tiger_fg"), (records, "tgq_former")],
)
def test_nothing_that_is_read_crashes_hangs_or_breaks_out(module: ModuleType, processor: str):
    kind = module.__name__.rpartition(".")[2]
    outcomes = run_attempts(kind, processor, [*map(str, range(NUMBER)), *module.HANDMADE])
    if (kind, processor) == ("pictures", "tiger_fg"):
        assert outcomes.counts["read"] >= len(pictures.ORIGINALS)
    check(f"{kind}, {processor}", outcomes.failures)


@pytest.mark.parametrize(("make", "mixed"), [(make_tiger_fg, True), (make_tgq_former, False)])
def test_threads_share_a_processor(make, mixed):
    wrong = differing_calls(make, 8, 100, mixed_lengths=mixed)
    check(f"threads, {make.__name__}", {"calls": f"{wrong} differ"} if wrong else {})


def test_damaged_shards_are_detected(tmp_path):
    encoding.encode(tmp_path / "whole")
    outcomes = {str(seed): damage_shards(tmp_path / "whole", tmp_path / f"shards-{seed}", seed) for seed in range(40)}
    check("damaged shards", {case: text for case, text in outcomes.items() if text not in ("equal", "detected")})


def test_a_full_disk_is_named_and_survived(tmp_path):
    if not full_disk.is_possible():
        pytest.skip("needs mount namespaces")
    outcome = full_disk.run("encode", tmp_path, 0)
    check("full disks, encoding", {} if outcome == "equal" else {"0": outcome})


# The same cases everywhere, and no deadline, because machines that run tests may be busy.
quiet = settings(deadline=None, derandomize=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(),
    lambda values: st.lists(values) | st.dictionaries(st.text() | st.integers(), values),
    max_leaves=10,
)


@quiet
@given(VALUES)
def test_a_box_is_finite_and_not_empty_or_refused(value):
    try:
        box = read_box(value)
    except ValueError as error:
        if "expected box" not in str(error):
            check("boxes", {"message": f"{value!r}: {error}"})
        return
    except Exception as error:
        check("boxes", {"error": f"{value!r}: {type(error).__name__}: {error}"})
        return
    assert box is None or (len(box) == 4 and box[0] < box[2] and box[1] < box[3] and all(abs(x) < 1e400 for x in box))


@quiet
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=4, max_size=4))
def test_a_box_survives_being_written_as_json(sides):
    x0, x1, y0, y1 = *sorted(sides[:2]), *sorted(sides[2:])
    if x0 < x1 and y0 < y1:
        assert read_box(str([x0, y0, x1, y1])) == [x0, y0, x1, y1]


@quiet
@given(VALUES)
def test_a_value_has_a_text_or_is_refused_by_name(value):
    try:
        text = value_text(value, "title")
    except ValueError as error:
        if "title" not in str(error):
            check("values", {"message": f"{value!r}: {error}"})
        return
    except Exception as error:
        check("values", {"error": f"{value!r}: {type(error).__name__}: {error}"})
        return
    assert text == text.strip()


@quiet
@given(st.text())
def test_clean_text_can_be_encoded_and_stays_when_cleaned_again(text):
    cleaned = clean_text(text, keep_html=True)
    cleaned.encode()
    assert clean_text(cleaned, keep_html=True) == cleaned
