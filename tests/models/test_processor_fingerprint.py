"""The fingerprint of a processor depends on what it computes, not on state gathered by use."""

import pytest
from encoding_stubs import StubProcessor
from processor_cases import make_siglip_tokenizer, make_tgq_former, make_tiger_fg, make_word_tokenizer

from tiger_fg_hf.models.processor_fingerprint import processor_fingerprint

RECORD = {"title": "red mug", "attributes": {"use": "tea"}}


def check_stable(processor, folder):
    """Use, save and load in turn."""
    before = processor_fingerprint(processor)
    for _ in range(2):
        processor(text=[RECORD, "red " * 99])
        assert processor_fingerprint(processor) == before
        processor.save_pretrained(folder)
        processor = type(processor).from_pretrained(folder)
        assert processor_fingerprint(processor) == before


def test_use_saving_and_loading_change_nothing(tmp_path):
    processor = make_tiger_fg(
        columns={"title": "name", "attributes": ["a", "b"]}, query_size={"height": 8, "width": 8}
    )
    check_stable(processor, tmp_path / "tiger_fg")
    check_stable(make_tgq_former(instruction="find "), tmp_path / "tgq_former")


def test_a_tokenizer_in_python_changes_nothing_either(tmp_path):
    check_stable(make_tgq_former(title_tokenizer=make_siglip_tokenizer(tmp_path)), tmp_path / "saved")


def test_a_call_with_other_options_leaves_no_trace():
    processor = make_tiger_fg()
    before = processor_fingerprint(processor)
    processor(text="red mug", max_length=1, padding="max_length")
    assert processor_fingerprint(processor) == before == processor_fingerprint(make_tiger_fg())


def test_everything_that_changes_outputs_counts():
    variants = [
        make_tiger_fg(),
        *(
            make_tiger_fg(image_options=options)
            for options in ({"size": 8}, {"resize_mode": "crop"}, {"pad_color": 0})
        ),
        make_tiger_fg(image_options={"data_format": "channels_last"}),
        make_tiger_fg(make_word_tokenizer("mug red lamp")),
        make_tiger_fg(make_word_tokenizer(lowercase=True)),
        make_tiger_fg(make_word_tokenizer(padding_side="left")),
        make_tiger_fg(make_word_tokenizer(truncation_side="left")),
        make_tiger_fg(make_word_tokenizer(model_max_length=9)),
        make_tiger_fg(max_length=9),
        make_tiger_fg(text_template=["{title}"]),
        make_tiger_fg(text_separator=" "),
        make_tiger_fg(attribute_template="{value}"),
        make_tiger_fg(attribute_separator=" "),
        make_tiger_fg(columns={"title": "name"}),
        make_tiger_fg(keep_html=True),
        make_tiger_fg(query_size={"height": 8, "width": 8}),
        make_tgq_former(),
        make_tgq_former(instruction="find "),
        make_tgq_former(title_padding="max_length"),
        make_tgq_former(title_template=["{title}", "{category}"]),
        make_tgq_former(max_title_length=9),
        make_tgq_former(title_tokenizer=make_word_tokenizer("mug")),
    ]
    assert len({processor_fingerprint(processor) for processor in variants}) == len(variants)


@pytest.mark.parametrize("template", ["{title}", "item {title}"])
def test_other_processors_are_known_by_the_files_they_save(template):
    first, second = StubProcessor(template), StubProcessor("{title}")
    assert (processor_fingerprint(first) == processor_fingerprint(second)) == (template == "{title}")
