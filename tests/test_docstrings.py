"""The examples in docstrings run as they are written."""

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import tiger_fg_hf

ROOT = Path(tiger_fg_hf.__file__).parent
MODULES = [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "tiger_fg_hf.")
    if not module.ispkg
    if ">>>" in ROOT.joinpath(*module.name.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.attempted
    assert not results.failed
