"""How good sentences from facts are."""

from collections.abc import Iterable, Sequence

from research.applications.writing.facts import Facts, in_words, named
from research.applications.writing.slots import SlotErrors, slot_error_rates, slot_errors
from research.evaluation.generation import text_figures
from research.evaluation.variety import copies, variety


def errors_of(sentences: Sequence[str], places: Sequence[Facts]) -> list[SlotErrors]:
    """The slot errors of N sentences with names, where each place's name is known to the others."""
    names = {facts[slot] for facts in places for slot in ("name", "near") if slot in facts}
    return [slot_errors(text, facts, sorted(names)) for text, facts in zip(sentences, places, strict=True)]


def quality(
    texts: Sequence[str], places: Sequence[Facts], references: Sequence[Sequence[str]], training: Iterable[str]
) -> dict[str, float]:
    """Figures of N sentences with placeholders.

    BLEU, chrF and ROUGE of the sentences with their names against the references of each; slot errors in percent of
    the slots; variety and copies of the sentences of different facts, names left out, against ``training`` sentences
    without names.
    """
    sentences = [named(text, facts) for text, facts in zip(texts, places, strict=True)]
    different = list({in_words(facts): text for facts, text in zip(places, texts, strict=True)}.values())
    return {
        **text_figures(sentences, references),
        **slot_error_rates(errors_of(sentences, places)),
        **variety(different),
        **copies(different, training),
    }
