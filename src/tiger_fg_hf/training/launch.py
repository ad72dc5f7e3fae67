"""Start the CPU processes that `accelerate launch --cpu --num_processes N` is asked for but does not start."""

import logging
import os
import sys

import psutil
from accelerate.commands.launch import launch_command_parser
from torch.distributed import run

logger = logging.getLogger(__name__)

# Set by every launcher that starts its processes itself: torchrun, and the MPIs that Accelerate knows.
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def start_cpu_processes(program: str, arguments: list[str]) -> bool:
    """Run a program in as many processes as `accelerate launch --cpu --num_processes N` was asked for.

    Without MPI, Accelerate 1.x silently starts only one process on the CPU. This function starts all N with torch's
    launcher. Call it before anything else in the process that Accelerate started.

    Args:
        program: Path of the script, or, without `.py`, name of the module that `accelerate launch -m` runs.
        arguments: Its command line.

    Returns:
        Whether the program ran in new processes; the caller then has nothing left to do.
    """
    several = "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")
    if not several or any(name in os.environ for name in _RANKS):
        return False
    processes = _requested_processes(program)
    if processes is None:
        logger.warning(
            "Accelerate starts several CPU processes only through MPI: this run has one. Use torchrun for more."
        )
        return False
    module = [] if program.endswith(".py") else ["--module"]
    run.main(["--standalone", f"--nproc_per_node={processes}", *module, program, *arguments])
    return True


def _requested_processes(program: str) -> int | None:
    """Read `--num_processes` from the parent process, `accelerate launch`, which does not pass it on."""
    parent = psutil.Process().parent()
    command = [] if parent is None else parent.cmdline()
    if "launch" not in command:
        return None
    launch = launch_command_parser().parse_args(command[command.index("launch") + 1 :])
    runs_this = launch.training_script == program if launch.module else launch.training_script in sys.argv[0]
    return launch.num_processes if runs_this else None
