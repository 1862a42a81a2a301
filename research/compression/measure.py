"""``python -m research.compression.measure CHECKPOINT TASK``: how fast one model is, in a process of its own.

Each line of standard input is a JSON list of texts. The answer is a line: the seconds of processor time that each took
alone, from the string to the logits on one core, and the most memory that the process has needed, in bytes.
"""

import json
import os
import sys
import time
from pathlib import Path


def peak() -> int:
    """Most bytes resident in this process; ``getrusage`` would begin with those of the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    from research.callbacks.memory import peak_memory

    return int(1e9 * peak_memory())


def main(checkpoint: str, task: str) -> None:
    """Answers texts, a line of JSON each, and says how long each took: a process of one thread for itself."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    from research.inference import load

    torch.set_num_threads(1)
    model = load(checkpoint, decisions=False)
    for line in sys.stdin:
        seconds = []
        for text in json.loads(line):
            start = time.process_time()
            model.logits([text], task)
            seconds.append(time.process_time() - start)
        print(json.dumps({"seconds": seconds, "memory": peak()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
