"""A node of SLURM for tests: ``srun`` starts the tasks of a step, ``scontrol requeue`` marks the job.

Linked under both names. ``$LITTLE_NODES`` is a folder for the tasks' process ids and the mark.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["LITTLE_NODES"])


def srun(*command: str) -> int:
    program = command.index("python")
    assert "--kill-on-bad-exit=0" in command[:program]
    count = int(os.environ["SLURM_NTASKS_PER_NODE"]) * int(os.environ["SLURM_NNODES"])
    places = [{"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i), "SLURM_NODEID": "0"} for i in range(count)]
    step = os.environ | {"SLURM_NTASKS": str(count)}
    tasks = [subprocess.Popen(command[program:], env=step | place) for place in places]
    (STATE / "tasks.new").write_text(" ".join(str(task.pid) for task in tasks))
    (STATE / "tasks.new").replace(STATE / "tasks")
    while any(task.poll() is None for task in tasks):
        if any(task.returncode for task in tasks):
            time.sleep(5)  # time to fail by themselves
            for task in tasks:
                task.kill()
        time.sleep(0.05)
    return max(task.returncode if task.returncode >= 0 else 128 - task.returncode for task in tasks)


def scontrol(command: str, job: str) -> int:
    assert (command, job) == ("requeue", os.environ["SLURM_JOB_ID"])
    (STATE / "requeued").touch()
    return 0


if __name__ == "__main__":
    sys.exit(globals()[Path(sys.argv[0]).stem](*sys.argv[1:]))
