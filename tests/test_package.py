"""The package as a whole: what importing it costs, what it registers, and which part may import which."""

import ast
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiger_fg_hf

ROOT = Path(tiger_fg_hf.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
# Room -> the other rooms it may import. `__init__` and `_auto`, which stand beside the rooms, see every room.
MAY_IMPORT = {
    "models": set(),
    "synthetic": set(),
    "catalog": {"models"},
    "data": {"models", "catalog", "synthetic"},
    "objectives": {"models"},
    "evaluation": {"models", "catalog", "data", "synthetic"},
    "training": {"models", "catalog", "data", "synthetic", "objectives", "evaluation"},
    "export": {"models"},
    "hub": {"models"},
    "cli": {"catalog", "data", "evaluation", "export", "hub", "models", "synthetic", "training"},
}


def run_python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_import_loads_neither_torch_nor_transformers_and_is_quick():
    """Measured side by side, in turns, so that a busy machine slows both."""
    code = "import sys, time; start = time.perf_counter(); import {}; print(time.perf_counter() - start, *sys.modules)"
    seconds = {"tiger_fg_hf": [], "transformers": []}
    for _ in range(3):
        for name, measured in seconds.items():
            took, *modules = run_python("-c", code.format(name)).split()
            measured.append(float(took))
            if name == "tiger_fg_hf":
                assert not {"torch", "transformers", "datasets", "numpy"} & set(modules)
    ours, theirs = (statistics.median(measured) for measured in seconds.values())
    print(f"import tiger_fg_hf: {ours:.3f} s, import transformers: {theirs:.3f} s, ratio {ours / theirs:.2f}")
    assert ours < theirs


@pytest.mark.parametrize("name", tiger_fg_hf.__all__)
def test_public_names_resolve(name):
    assert getattr(tiger_fg_hf, name) is not None
    assert name in dir(tiger_fg_hf)


def test_type_checkers_see_the_same_names():
    """The names that load lazily and those imported for type checkers are kept by hand; they must agree."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {alias.name: node.module for node in block.body for alias in node.names}
    assert told == tiger_fg_hf._MODULE_OF


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'tiger_fg_hf' has no attribute 'TigerFGNonsense'"):
        tiger_fg_hf.TigerFGNonsense  # noqa: B018
    assert not hasattr(tiger_fg_hf, "nonsense")


def test_auto_classes_know_the_models_in_every_import_order():
    assert run_python(str(Path(__file__).with_name("fixtures") / "import_orders.py")) == ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a module imports, for type checkers included."""
    package = (ROOT.name, *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            # `from . import name` may import a module; `from .module import name` imports that module.
            names = [alias.name for alias in node.names] if node.module is None else [None]
            yield from ((node.lineno, ".".join(filter(None, [module, name]))) for name in names)


def room(module: str) -> str | None:
    """The room of a module of ours, None for modules beside the rooms."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else None


def test_every_folder_is_a_known_room():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upward(path):
    own = room(f"{ROOT.name}." + ".".join(path.relative_to(ROOT).with_suffix("").parts))
    for line, module in imports(path):
        told = f"{path.relative_to(ROOT)}:{line} imports {module}"
        first, _, rest = module.partition(".")
        assert first not in ("examples", "tests", "tiny"), told
        if first != ROOT.name:
            continue
        assert own == "cli" or rest.partition(".")[0] != "cli", told
        if own is not None:
            assert room(module) in {own} | MAY_IMPORT[own], told


@pytest.mark.parametrize("path", sorted(ROOT.glob("models/*.py")), ids=lambda path: path.name)
def test_model_files_import_only_siblings(path):
    """What lies in one folder exports as remote code unchanged, if written as `from .name import ...`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        told = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, told
            assert (path.parent / f"{node.module}.py").is_file(), told
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.partition(".")[0] == ROOT.name for name in names), told
