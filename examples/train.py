"""Train TIGER-FG on a catalog.

    accelerate launch examples/train.py examples/recipes/tiger-fg-tiny.yaml
    accelerate launch examples/train.py --data items.parquet --vision VISION --text TEXT --output_dir runs/mine

`from_pretrained` reads the folder of the finished run. `--help` lists the arguments.
"""

import sys

from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.recipes.tiger_fg.run import main

if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
