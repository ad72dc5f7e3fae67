"""Turn the HTML that many product feeds contain into plain text."""

import html
import re

# Elements that end a word, and elements within a word ("H<sub>2</sub>O"). Tags with other names are text, such as
# "<New>" and "<S>" in titles.
_BLOCKS = (
    "article blockquote body br center dd div dl dt footer h1 h2 h3 h4 h5 h6 head header hr html iframe img li meta "
    "ol p pre section table tbody td tfoot th thead tr ul"
)
_INLINE = "a abbr b bdi bdo cite code del em font i ins kbd span strike strong sub sup tt u wbr"
_ATTRIBUTES = r"""(?:\s+[A-Za-z][\w:.-]*\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))*"""
_TAG = re.compile(
    rf"</?(?:(?P<inline>{'|'.join(_INLINE.split())})|{'|'.join(_BLOCKS.split())}){_ATTRIBUTES}\s*/?>",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"<!--[^<>]*-->|<(script|style)\b[^<>]*>[^<]*</\1\s*>", re.IGNORECASE)
# Only with the semicolon: without it, `html.unescape` turns "bed&sectional" into "bed§ional".
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
# Some feeds escape twice or three times.
_MAX_PASSES = 3


def strip_html(text: str) -> str:
    r"""Remove HTML tags, comments, scripts and styles from a text, and decode its entities.

    A block tag, such as `<br>` or `</li>`, becomes a space. Only tags of known elements count, so that `a < b`,
    `<3` and `<New>` stay. Escaped tags (`&lt;b&gt;`) are decoded and removed.

    Example:
        >>> strip_html("<b>Mug</b> &amp; saucer<br/>250&nbsp;ml, H<sub>2</sub>O, 5 < 6 > 3 <3")
        'Mug & saucer 250\xa0ml, H2O, 5 < 6 > 3 <3'
    """
    for _ in range(_MAX_PASSES):
        if "<" not in text and "&" not in text:
            break
        plain = _ENTITY.sub(lambda entity: html.unescape(entity.group()), text)
        plain = _TAG.sub(lambda tag: "" if tag["inline"] else " ", _HIDDEN.sub(" ", plain))
        if plain == text:
            break
        text = plain
    return text


def has_html(text: str) -> bool:
    """Return whether a text contains HTML that `strip_html` would change.

    Example:
        >>> has_html("Tom &amp; Jerry"), has_html("Tom & Jerry")
        (True, False)
    """
    return strip_html(text) != text
