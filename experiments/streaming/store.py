"""An S3 server of one's own in a process of its own, and the environment that leads to it."""

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

SERVER = Path(__file__).with_name("s3_server.py")


class Store:
    """The files of a folder behind `s3://`. It may be stopped and started again.

    Args:
        folder: what to serve; its name is that of the bucket.
        work: a folder for the log and the rules of the server.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.log, self.rules = folder, work / "requests.log", work / "rules.json"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"s3://{folder.name}"
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def __enter__(self) -> "Store":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        line = [sys.executable, SERVER, self.folder, "--port", self.port, "--log", self.log, "--rules", self.rules]
        self.process = subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", "the server did not start; is moto[server] installed?"
        self.log.unlink(missing_ok=True)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def tell(self, **rules: float) -> None:
        """How to answer from now on; nothing is as it should be."""
        self.rules.unlink(missing_ok=True)
        if rules:
            self.rules.write_text(json.dumps(rules))

    def sent(self) -> Counter[str]:
        """The bytes of each file that were sent since the last call."""
        sent = Counter[str]()
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            method, path, size = line.split()
            if method == "GET" and path.startswith(f"/{self.folder.name}/") and path[-1] != "/":
                sent[path.split("/", 2)[2]] += int(size)
        self.log.unlink(missing_ok=True)
        return sent
