"""Train and measure all writers; tables and a page of samples come into this folder.

Options are those of ``ablate``, such as --workers 2, --dry-run, or --seeds [0].
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(os.path.relpath(Path(__file__).parent))  # results name it as seen from where the command runs


def main(arguments: list[str]) -> int:
    """Run what is missing of ``grid.yaml``, then write ``decoding.md`` and ``samples.html``.

    Raises:
        UserError: for an arm that cannot run, or where the sentences of a finished run are gone.
    """
    from research.ablation.command import main as ablate

    if status := ablate(["--config", str(HERE / "grid.yaml"), *arguments]):
        return status
    if "--dry-run" not in arguments:
        report()
    return 0


def report() -> None:
    """The table and the page, from ``results.jsonl`` and the sentences in the runs' folders."""
    from research.ablation.results import Results
    from research.applications.writing.decoding import DECODINGS
    from research.applications.writing.page import write_samples
    from research.applications.writing.table import decoding_table, people
    from research.files import write_whole

    results = Results.read(HERE / "results.jsonl")
    first = [run for run in results.runs if run["seed"] == results.header["seeds"][0]]
    texts = {" ".join(run["arm"].values()): sentences(HERE / run["run"]) for run in first}
    lines = next(iter(texts.values()))
    human = people([line["facts"] for line in lines], [line["people"] for line in lines])
    write_whole(HERE / "decoding.md", decoding_table(results.header, results.runs, human))
    write_samples(HERE / "samples.html", texts, list(DECODINGS))
    print(f"written to {HERE}/: decoding.md, samples.html")


def sentences(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``texts.jsonl``."""
    from research.applications.writing.callback import TEXTS
    from research.errors import UserError

    try:
        return [json.loads(line) for line in (folder / TEXTS).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        gone = f"{folder / TEXTS}: gone, though the run is in results.jsonl"
        raise UserError(f"{gone}; delete its line there and give the same command again") from None


if __name__ == "__main__":
    if {"-h", "--help"} & {*sys.argv}:
        print(__doc__)
    else:
        from research.terminal import explained

        sys.exit(explained(main, sys.argv[1:]))
