"""Train the image-text dual encoder that TGQ-Former keeps frozen, on pictures of listings and their titles.

    accelerate launch examples/train_dual_encoder.py --data items.parquet --vision VISION --text TEXT

A pretrained one (CLIP, Chinese-CLIP, SigLIP) needs no training. `--help` lists the arguments.
"""

import sys

from tiger_fg_hf.training.launch import start_cpu_processes
from tiger_fg_hf.training.recipes.dual_encoder.run import main

if __name__ == "__main__" and not start_cpu_processes(__file__, sys.argv[1:]):
    main()
