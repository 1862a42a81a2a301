"""A cluster of one node for tests: what ``sbatch``, ``srun``, ``sacct`` and ``scontrol`` do, in a folder.

Linked under each of these names. Tasks of a job array run one after the other, with their files named as SLURM does,
and again if they were requeued. ``$LITTLE_SLURM`` holds the state.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ.get("LITTLE_SLURM", "."))


def sbatch(script: str) -> None:
    number = str(100 + len(list(STATE.glob("*.batch"))))
    (STATE / f"{number}.batch").write_text(Path(script).read_text())
    array = re.search(r"--array=0-(\d+)", Path(script).read_text())
    tasks = [f"{number}_{i}" for i in range(int(array[1]) + 1)] if array else [number]
    for task in tasks:
        (STATE / f"{task}.state").write_text("PENDING")
    command = [sys.executable, __file__, "node", script, *tasks]
    quiet = {stream: subprocess.DEVNULL for stream in ("stdin", "stdout", "stderr")}
    subprocess.Popen(command, start_new_session=True, **quiet)
    print(f"Submitted batch job {number}")


def node(script: str, *tasks: str) -> None:
    for task in tasks:
        state, requeued = STATE / f"{task}.state", STATE / f"{task}.requeued"
        number, _, index = task.partition("_")
        given = {"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_NODEID": "0"}
        if index:
            given |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index}
        again = True
        while again:
            state.write_text("RUNNING")
            status = subprocess.run(["bash", script], env=os.environ | given).returncode
            again = requeued.exists()
            requeued.unlink(missing_ok=True)
        state.write_text("FAILED" if status else "COMPLETED")


def srun(*arguments: str) -> None:
    """Become the command, in a process group of its own, which is what SLURM sends signals to."""
    number, index = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "")
    options = dict(zip(arguments[1:5:2], arguments[2:5:2], strict=True))  # --unbuffered --output FILE --error FILE
    for name, descriptor in (("--output", 1), ("--error", 2)):
        path = options[name].replace("%A", number).replace("%a", index).replace("%j", number).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.setpgid(0, 0)
    (STATE / f"{number}_{index}.group").write_text(str(os.getpid()))
    os.execvp(arguments[5], arguments[5:])


def sacct(*arguments: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(STATE.glob("*.state")):
        print(f"{path.stem}|{path.read_text()}|here")


def scontrol(command: str, task: str) -> None:
    assert command == "requeue"
    (STATE / f"{task}.requeued").touch()


if __name__ == "__main__":
    called, arguments = Path(sys.argv[0]).stem, sys.argv[1:]
    if called == Path(__file__).resolve().stem:
        called, *arguments = arguments
    globals()[called](*arguments)
