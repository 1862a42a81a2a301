"""Slot errors, against sentences of E2E that were labelled by hand."""

import csv
from pathlib import Path

import pytest

from research.applications.writing.facts import parsed
from research.applications.writing.slots import SlotErrors, slot_error_rates, slot_errors

FULL = "name[The Mill], eatType[coffee shop], food[Chinese], priceRange[moderate], area[riverside], near[The Sorrento]"
RATED = "name[Aromi], eatType[coffee shop], customer rating[{}], familyFriendly[{}]"
LABELLED = [  # facts; sentence; missing, added, repeated, wrong
    (FULL, "The Mill is a coffee shop providing Chinese food in the moderate price range. It is located in the "
           "riverside. It is near The Sorrento.", "", "", "", ""),
    (FULL, "There is a coffee shop called The Mill providing Chinese food located in the riverside near The Sorrento "
           "and it's price range is £20-25.", "priceRange", "", "", ""),
    (FULL, "The Mill is a pub that offers Chinese food at moderate prices, in the city centre.", "near", "", "",
           "eatType area"),
    (FULL, "Moderately priced Mill restaurant by the river side near the Sorrento serves pasta.", "eatType", "", "",
           "food"),
    (FULL, "The Mill, a coffee shop on the riverside near The Sorrento, has inexpensive Chinese food. It is family "
           "friendly and rated 3 out of 5.", "", "customer rating familyFriendly", "", "priceRange"),
    (FULL, "Near The Sorrento in riverside is a coffee shop with moderately priced Chinese food.", "name", "", "", ""),
    (FULL, "The Mill is a riverside coffee shop in the riverside area near The Sorrento. The Mill has Chinese food at "
           "a moderate price.", "", "", "area", ""),
    (FULL, "The Punter is a moderately priced riverside coffee shop near The Sorrento with Chinese food.", "", "", "",
           "name"),
    (RATED.format("1 out of 5", "no"), "Aromi is a coffee shop with a customer rating of 1 out of 5 that is not "
     "family-friendly.", "", "", "", ""),
    (RATED.format("1 out of 5", "no"), "The one star coffee shop Aromi isn't a place for children.", "", "", "", ""),
    (RATED.format("1 out of 5", "no"), "Aromi has an average rating of 1 out of 5 stars; coffee shop for adults only.",
     "", "", "", ""),
    (RATED.format("low", "yes"), "Aromi is a kid friendly coffee shop, rated low by customers.", "", "", "", ""),
    (RATED.format("low", "yes"), "Aromi is a child-friendly coffee shop with a rating of 1 out of 5.",
     "customer rating", "", "", ""),
    (RATED.format("high", "yes"), "The highly rated Aromi coffee shop does not cater to families with kids.", "", "",
     "", "familyFriendly"),
    (RATED.format("high", "yes"), "Aromi, a coffee shop, is family friendly and not low rated.", "", "", "",
     "customer rating"),
    (RATED.format("high", "no"), "Aromi coffee shop has high prices and a high customer rating. No kids.", "",
     "priceRange", "", ""),
    ("name[Cocum], priceRange[less than £20]", "At Cocum you eat for under £20.", "", "", "", ""),
    ("name[Cocum], priceRange[less than £20]", "At Cocum you eat for more than 30 pounds.", "", "", "", "priceRange"),
    ("name[Cocum], priceRange[£20-25]", "Cocum has an average price range of £20-£25.", "", "", "", ""),
    ("name[Cocum], priceRange[more than £30]", "Cocum is an expensive place: £30 and up.", "", "", "", ""),
    ("name[Cocum], food[Korean]", "Cocum serves Korean food.", "", "", "", ""),
    ("name[Cocum], food[Korean]", "Cocum serves food.", "food", "", "", ""),
    ("name[Café Élan], near[Raja Indian Cuisine]", "Cafe Elan stands by the Raja Indian Cuisine.", "", "", "", ""),
    ("name[Cocum]", "Cocum is a restaurant.", "", "", "", ""),
    ("name[Cocum]", "Cocum is a pub near NEAR.", "", "eatType near", "", ""),
    ("name[Cocum]", "", "name", "", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "sentence", "missing", "added", "repeated", "wrong"), LABELLED)
def test_errors_are_those_that_a_person_finds(
    facts: str, sentence: str, missing: str, added: str, repeated: str, wrong: str
) -> None:
    read = parsed(facts, "here")
    found = slot_errors(sentence, read, names=["The Punter", "The Mill", "Crowne Plaza Hotel"])

    expected = [
        {slot.replace("_", " ") for slot in slots.replace("customer rating", "customer_rating").split()}
        for slots in (missing, added, repeated, wrong)
    ]
    assert [{*found.missing}, {*found.added}, {*found.repeated}, {*found.wrong}] == expected
    assert found.slots == facts.count("[")


def test_rates_are_shares_of_all_slots() -> None:
    errors = [SlotErrors(("food",), (), (), ("area", "near"), 6), SlotErrors((), ("area",), ("food",), (), 4)]
    rates = slot_error_rates(errors)
    assert rates == pytest.approx(
        {"slot_errors": 50.0, "missing": 10.0, "added": 10.0, "repeated": 10.0, "wrong": 20.0}
    )


def test_what_people_wrote_of_other_facts_has_more_errors(slices: Path) -> None:
    """Of their own facts people say most; of facts of another place they say other values."""
    with (slices / "e2e.csv").open(newline="") as file:
        rows = [(parsed(row["mr"], "here"), row["ref"]) for row in csv.DictReader(file)]
    own = slot_error_rates([slot_errors(sentence, facts) for facts, sentence in rows])["slot_errors"]
    half = len(rows) // 2
    others = [rows[(i + half) % len(rows)] for i in range(len(rows))]
    mixed = [slot_errors(sentence, facts) for (facts, _), (_, sentence) in zip(rows, others, strict=True)]
    assert own < 20 < 40 < slot_error_rates(mixed)["slot_errors"]
