"""Train TGQ-Former on pairs of listings of the same product.

    accelerate launch examples/train_tgq_former.py --data items.parquet --dual_encoder CLIP --language_model MODEL
    accelerate launch examples/train_tgq_former.py examples/recipes/tgq-former-paper.yaml --data items.parquet

`from_pretrained` reads the folder of the finished run. `--help` lists the arguments.
"""

import sys

from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.recipes.tgq_former.run import main

if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
