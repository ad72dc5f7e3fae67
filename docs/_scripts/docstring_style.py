"""A griffe extension: brings docstrings in the style of transformers into the form that mkdocstrings shows best."""

import re
from typing import Any

import griffe

# [`Name`] refers to an object of transformers' documentation.
_REFERENCE = re.compile(r"\[(`[^`\]]+`)\](?![\[(])")
# name (`str`, *optional*, defaults to `"x"`): ...
_TYPE = re.compile(r"^( +[*\w][*\w, ]* \()(.+?)(\)(?::.*|, .*)?)$", re.MULTILINE)
_EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)


class DocstringStyle(griffe.Extension):
    """Rewrites every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Remove brackets around references and marks inside types, and name examples as griffe knows them."""
        if obj.docstring is None:
            return
        text = _REFERENCE.sub(r"\1", obj.docstring.value)
        text = _TYPE.sub(lambda match: match[1] + re.sub(r"[`*]", "", match[2]) + match[3], text)
        obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)
