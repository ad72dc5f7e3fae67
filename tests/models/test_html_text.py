import pytest

from tiger_fg_hf.models.html_text import has_html, strip_html
from tiger_fg_hf.models.record_text import clean_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<b>Linen</b> shirt", "Linen shirt"),
        ("Soft<br>warm<BR/>light", "Soft warm light"),
        ('<p class="x" id=y>One</p><p>two</p>', "One two"),
        ("H<sub>2</sub>O", "H2O"),
        ("<a href='https://x.org/?a=1&b=2'>Mug</a>", "Mug"),
        ("<!-- old -->Mug<style>p {color: red}</style>", "Mug"),
        ("Tom &amp; Jerry &#39;mug&#x27; &nbsp;5&euro;", "Tom & Jerry 'mug' 5€"),
        ("&lt;b&gt;Mug&lt;/b&gt; &amp;amp; lid", "Mug & lid"),
        ("&lt;3 &lt; 5", "<3 < 5"),
    ],
)
def test_html_becomes_text(text, plain):
    assert clean_text(text) == plain
    assert has_html(text)
    assert clean_text(text, keep_html=True) == text


@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "5 < 6 > 3",
        "I <3 mugs",
        "a<b and c>d",
        "<New> shirt <S> <M>",
        "New <Style> shoes",
        "<衬衫>",
        "< b >",
        "<b",
        "AT&T, R&D; bed&sectional &copy 5 &foo; &",
    ],
)
def test_ordinary_text_stays(text):
    assert strip_html(text) == text
    assert not has_html(text)


def test_long_broken_html_takes_no_time():
    for part in ("<b ", "<script>", "<!--", '<b a="', "&amp;", "<b a= "):
        strip_html(part * 20_000)
    strip_html("<b" + " " * 50_000 + "x")
