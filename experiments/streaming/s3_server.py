"""moto's S3 server over the files of a folder. It logs what it sends, and can be told to be slow or to refuse.

python experiments/streaming/s3_server.py FOLDER --port 9000 --log requests.log --rules rules.json

The bucket has the folder's name. Each line of the log is method, path and bytes of the answer. While the file of the
rules is there, it says the seconds to wait before each answer (``delay``) or the status of all answers (``status``).
"""

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


class Metered:
    """A WSGI application between moto's and its clients."""

    def __init__(self, app: Callable[..., Iterable[bytes]], log: Path, rules: Path) -> None:
        self.app, self.log, self.rules = app, log, rules

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            rules = json.loads(self.rules.read_text())
        except FileNotFoundError:
            rules = {}
        time.sleep(rules.get("delay", 0))
        if status := rules.get("status"):
            start_response(f"{status} told so", [("Content-Length", "0")])
            return [b""]
        body = b"".join(self.app(environ, start_response))
        with self.log.open("a") as file:
            file.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)}\n")
        return [body]


def main() -> None:
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, default=Path("/dev/null"))
    parser.add_argument("--rules", type=Path, default=Path("rules.json"))
    args = parser.parse_args()
    app = DomainDispatcherApplication(create_backend_app)

    def served(port: int, app: Callable[..., Iterable[bytes]]) -> Any:
        server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=server.serve_forever).start()
        return server

    door = served(0, app)  # nobody else sees a bucket that is not full yet
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{door.server_port}", **keys)
    client.create_bucket(Bucket=args.folder.name)
    for path in sorted(args.folder.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), args.folder.name, str(path.relative_to(args.folder)))
    door.shutdown()
    served(args.port, Metered(app, args.log, args.rules))
    print("ready", flush=True)


if __name__ == "__main__":
    main()
