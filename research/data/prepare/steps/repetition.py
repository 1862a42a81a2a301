"""Text that repeats itself."""

from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter


class Repetition(GopherRepetitionFilter):
    """Gopher's rules against repetition (Rae et al. 2021, arXiv:2112.11446, table A1), with settings YAML can give.

    A document is dropped where more than `lines` or `paragraphs` of its lines or paragraphs, or `line_characters`
    or `paragraph_characters` of its text in them, are repeated ones; where the most frequent n-gram of words makes
    up more than `top_ngrams[n]` of its text; or repeated n-grams more than `repeated_ngrams[n]`. All are shares
    from 0 to 1. `language` chooses the tokenizer for words.
    """

    name = "Repetition"

    def __init__(
        self,
        lines: float = 0.3,
        paragraphs: float = 0.3,
        line_characters: float = 0.2,
        paragraph_characters: float = 0.2,
        top_ngrams: dict[int, float] | None = None,
        repeated_ngrams: dict[int, float] | None = None,
        language: str = "en",
    ):
        top = {2: 0.2, 3: 0.18, 4: 0.16} if top_ngrams is None else top_ngrams
        repeated = {n: 0.2 - n / 100 for n in range(5, 11)} if repeated_ngrams is None else repeated_ngrams
        super().__init__(
            dup_line_frac=lines,
            dup_para_frac=paragraphs,
            dup_line_char_frac=line_characters,
            dup_para_char_frac=paragraph_characters,
            top_n_grams=tuple(top.items()),
            dup_n_grams=tuple(repeated.items()),
            language=language,
        )
