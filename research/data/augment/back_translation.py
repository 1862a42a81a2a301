"""Back-translation (Sennrich et al. 2016, arXiv:1511.06709; as augmentation, Xie et al. 2020, arXiv:1904.12848)."""

import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from research.data.augment.translator import Translator
from research.data.cache import default_folder, key
from research.data.sources.source import Record, Source, identity
from research.errors import UserError

log = logging.getLogger(__name__)


class BackTranslation(Source):
    """Each record, followed by itself translated there and back, with its label and target.

    The translations are made once, by beam search, into the cache. They are held out together with the text that they
    were made from, so none leaks between splits. Held-out shares of this source would hold translations too: set
    ``validation`` and ``test`` to sources of original texts. ``shots`` counts translations as examples.

    A text has no translation where it, or what becomes of it, exceeds ``max_length`` tokens, or comes back unchanged.

    Args:
        source: where the records come from.
        there: the translator into another language.
        back: the translator from there.
        beams: width of the beam search, at least 1.
        batch_size: texts translated at once, at least 1.
        max_length: longest text in tokens of either translator, at least 1.
    """

    def __init__(
        self,
        source: Source,
        there: Translator,
        back: Translator,
        beams: int = 4,
        batch_size: int = 16,
        max_length: int = 256,
    ) -> None:
        for name, value in (("beams", beams), ("batch_size", batch_size), ("max_length", max_length)):
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")
        self.source, self.there, self.back = source, there, back
        self.beams, self.batch_size, self.max_length = beams, batch_size, max_length

    def __iter__(self) -> Iterator[Record]:
        from filelock import FileLock

        path = default_folder() / "back_translation" / f"{self.fingerprint()}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                self._write(path)
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def fingerprint(self) -> str:
        settings = (self.beams, self.max_length)
        return key(
            "BackTranslation", self.source.fingerprint(), self.there.fingerprint(), self.back.fingerprint(), settings
        )

    def _write(self, path: Path) -> None:
        work = path.with_suffix(".new")
        try:
            with work.open("w", encoding="utf-8") as out:
                for record in self._records():
                    out.write(json.dumps(record, ensure_ascii=False) + "\n")
            os.replace(work, path)
        except BaseException:
            work.unlink(missing_ok=True)
            raise

    def _records(self) -> Iterator[Record]:
        there, back = self.there.load(), self.back.load()
        records, read, made = iter(self.source), 0, 0
        while chunk := list(itertools.islice(records, self.batch_size)):

            def round_trip(texts: list[str | None]) -> list[str | None]:
                return back(there(texts, self.beams, self.max_length), self.beams, self.max_length)

            firsts = round_trip([record["text"] for record in chunk])
            seconds = round_trip([record.get("text_pair") for record in chunk])
            for record, first, second in zip(chunk, firsts, seconds, strict=True):
                yield record
                translation: Record = {**record, "origin": identity(record), "where": f"{record['where']} translated"}
                if first is not None:
                    translation["text"] = first
                if second is not None:
                    translation["text_pair"] = second
                if identity({**translation, "origin": ""}) != identity(record):
                    made += 1
                    yield translation
            read += len(chunk)
        log.info("back-translation: %d of %d records have a translation", made, read)
