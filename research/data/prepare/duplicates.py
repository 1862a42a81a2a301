"""Deduplication by datatrove: documents of equal text, then documents that are nearly the same."""

from collections.abc import Generator
from dataclasses import dataclass

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup.exact_dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
)
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.hashing import HashConfig

from research.data.prepare.documents import Handed, Write
from research.data.prepare.folder import Folder
from research.data.prepare.stage import Stage
from research.data.prepare.words import check_language
from research.errors import UserError


@dataclass
class NearDuplicates:
    """MinHash with locality-sensitive hashing (Broder 1997).

    Two documents with a share s of common n-grams of words are taken for duplicates with a probability of
    1 - (1 - s^h)^b: for the defaults 0.01 at s = 0.4, 0.56 at 0.7 and 0.99 at 0.85.

    Args:
        n: words of an n-gram, at least 1; a shorter document is a duplicate of none.
        buckets: b above, at least 1.
        hashes: h above, at least 1.
        seed: of the hash functions.
        language: code of the language, such as en, or cmn for Chinese, which decides what the words are.
    """

    n: int = 5
    buckets: int = 14
    hashes: int = 8
    seed: int = 1
    language: str = "en"

    def __post_init__(self) -> None:
        for name in ("n", "buckets", "hashes"):
            if getattr(self, name) < 1:
                raise UserError(f"near_duplicates.{name} is {getattr(self, name)}; it must be at least 1")
        check_language("near_duplicates.language", self.language)

    def drop(
        self, documents: list[PipelineStep], folder: Folder, tasks: int
    ) -> Generator[Stage, None, list[PipelineStep]]:
        """Stages that find duplicates among what `documents` yield; returns steps that yield one of each cluster."""
        hashing = HashConfig(hash_fc="sha1")  # datatrove gives strings to xxhash, which since its 4.0 takes bytes alone
        config = MinhashConfig(self.n, self.buckets, self.hashes, self.seed, hash_config=hashing)
        kept = folder.work / "distinct"
        signatures, pairs, clusters = (str(folder.work / f"near-{n}") for n in ("signatures", "pairs", "clusters"))
        sign = MinhashDedupSignature(signatures, config, self.language)
        yield Stage("near-signatures", [*documents, Write(kept), sign], tasks)
        yield Stage("near-pairs", [MinhashDedupBuckets(signatures, pairs, config=config)], self.buckets)
        yield Stage("near-clusters", [MinhashDedupCluster(pairs, clusters, config)], 1)
        return [Handed(kept), MinhashDedupFilter(clusters, Write(folder.dropped / "near-duplicates"))]


def drop_exact_duplicates(
    documents: list[PipelineStep], folder: Folder, tasks: int
) -> Generator[Stage, None, list[PipelineStep]]:
    """As :meth:`NearDuplicates.drop`, for documents of the same text."""
    config = ExactDedupConfig(content_getter=_text)
    kept = folder.work / "filtered"
    signatures, found = str(folder.work / "exact-signatures"), str(folder.work / "exact-found")
    sign = ExactDedupSignature(signatures, config, finder_workers=tasks)
    yield Stage("exact-signatures", [*documents, Write(kept), sign], tasks)
    yield Stage("exact-pairs", [ExactFindDedups(signatures, found, config)], tasks)
    return [Handed(kept), ExactDedupFilter(found, config, Write(folder.dropped / "exact-duplicates"))]


def _text(document: Document) -> bytes:
    return document.text.encode()
