"""Ways of decoding, on students that have learnt nothing."""

from typing import Any

import pytest

from research.applications.writing.decoding import DECODINGS, lacking, read, written
from research.applications.writing.facts import CLOSED, named, parsed
from research.applications.writing.slots import slot_errors
from research.inference.candidates import write_candidates

FULL = "eatType[pub], food[Thai], priceRange[{}], customer rating[{}], area[{}], familyFriendly[{}], near[Ranch]"
PLACES = [
    parsed("name[The Mill], area[riverside]", "here"),
    parsed(f"name[Zizzi], {FULL.format('£20-25', '3 out of 5', 'city centre', 'no')}", "here"),
    parsed("name[Giraffe], area[riverside]", "here"),
]


@pytest.mark.parametrize("values", [*zip(*CLOSED.values(), strict=False), ("high", "high", "riverside", "no")])
def test_clauses_say_every_slot_rightly(values: tuple[str, ...]) -> None:
    facts = parsed(f"name[Zizzi], {FULL.format(*values)}", "here")
    sentence = named(" ".join(lacking("", facts)), facts)
    assert len(slot_errors(sentence, facts)) == 0, sentence
    assert lacking(" ".join(lacking("", facts)), facts) == []


def test_nothing_required_is_missing(tiny: Any) -> None:
    student = tiny("gpt2", seed=6, architecture={"n_positions": 300})
    sentences = {name: written(student, PLACES, 150, write) for name, write in DECODINGS.items()}
    found = {
        name: [slot_errors(named(text, facts), facts) for text, facts in zip(texts, PLACES, strict=True)]
        for name, texts in sentences.items()
    }
    assert all(errors.missing for errors in found["greedy"])
    assert not any(errors.missing for errors in found["required"])
    assert all(texts[0] == texts[2] for texts in sentences.values()), (
        "names alone differ, and stand behind placeholders"
    )
    assert "Giraffe" in named(sentences["required"][2], PLACES[2])


def test_the_best_of_a_beam_search_has_the_fewest_errors(tiny: Any) -> None:
    student = tiny("gpt2", seed=6, architecture={"n_positions": 300})
    chosen = written(student, PLACES, 30, DECODINGS["reranked"])
    for text, facts in zip(chosen, PLACES, strict=True):
        (beams,) = write_candidates(student, read(student, [facts]), 30, 8)
        costs = {beam: len(slot_errors(named(beam, facts), facts)) for beam in beams}
        assert costs[text] == min(costs.values()) and len(beams) > 1
