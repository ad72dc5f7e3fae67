"""Several processes on CPU: what `accelerate launch --cpu --num_processes N` asks for and does not start by itself."""

import logging
import os
import sys

import psutil
from accelerate.commands.launch import launch_command_parser
from torch.distributed import run

logger = logging.getLogger(__name__)

# Set by every launcher that starts its processes itself: torchrun, and the MPIs that Accelerate knows.
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def start_cpu_processes(script: str, arguments: list[str]) -> bool:
    """
    Runs `script` in as many processes as `accelerate launch --cpu --num_processes N` was asked for.

    Without MPI, Accelerate 1.x starts one process on CPU whatever N is, and says nothing. Here torch's own launcher
    starts them. To be called before anything else, in the process that Accelerate started.

    Args:
        script: path of the program.
        arguments: its command line.

    Returns:
        Whether it ran in processes of its own; the caller is then done.
    """
    several = "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")
    if not several or any(name in os.environ for name in _RANKS):
        return False
    processes = _processes_asked_for()
    if processes is None:
        logger.warning("Accelerate starts several CPU processes only by MPI: this run has ONE. Use torchrun for more.")
        return False
    run.main(["--standalone", f"--nproc_per_node={processes}", script, *arguments])
    return True


def _processes_asked_for() -> int | None:
    """`--num_processes` of the `accelerate launch` that is this process's parent; it is passed on in no other way."""
    parent = psutil.Process().parent()
    command = [] if parent is None else parent.cmdline()
    if "launch" not in command:
        return None
    launch = launch_command_parser().parse_args(command[command.index("launch") + 1 :])
    return launch.num_processes if launch.training_script in sys.argv[0] else None
