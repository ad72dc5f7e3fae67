"""Replace the model code in exported folders with that of the installed package.

```bash
python -m tiger_fg_hf.export.refresh_code model_cards/*
```
"""

import json
import shutil
import sys
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files

_MODELS = Path(__file__).parents[1] / "models"
_CONFIGS = ("config.json", "processor_config.json")


def refresh_code(folder: str | Path) -> list[str]:
    """Copy the package's model code into an exported folder and delete code that is no longer needed.

    Leaves weights, configurations and the model card as they are.

    Args:
        folder: A folder written by [`export_with_code`].

    Returns:
        The names of the code files that the folder now holds.

    Raises:
        ValueError: The configurations in the folder name no code (`auto_map`).
    """
    folder = Path(folder)
    entries: set[str] = set()
    for name in _CONFIGS:
        config = json.loads((folder / name).read_text(encoding="utf-8"))
        for part in (config, config.get("image_processor", {})):
            entries |= {reference.split(".")[0] for reference in part.get("auto_map", {}).values()}
    if not entries:
        raise ValueError(f"{folder}: {' and '.join(_CONFIGS)} have no auto_map, so the folder holds no code.")
    sources = {_MODELS / f"{entry}.py" for entry in entries}
    for source in list(sources):
        sources |= {Path(path) for path in get_relative_import_files(source)}
    for stale in folder.glob("*.py"):
        stale.unlink()
    for source in sources:
        shutil.copyfile(source, folder / source.name)
    return sorted(source.name for source in sources)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(f"{each}: {', '.join(refresh_code(each))}")
