"""One of the processes of a launch: runs command lines one after the other, and stops each where it is told to."""

import json
import os
import signal
import sys

from research.callbacks.metrics_log import MetricsLog
from research.run import CHOSEN
from research.terminal import run_command

log = MetricsLog.on_train_batch_end


def main(commands):
    for arguments, stop_at in commands:

        def signal_self(self, trainer, *args, stop_at=stop_at):
            log(self, trainer, *args)
            if trainer.is_global_zero and trainer.global_step == stop_at:
                os.kill(os.getpid(), signal.SIGUSR1)

        MetricsLog.on_train_batch_end = signal_self
        os.environ.pop(CHOSEN, None)
        status = run_command(arguments)
        assert status == (0 if stop_at is None else 128 + signal.SIGUSR1), (arguments, status)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
