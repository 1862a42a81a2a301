"""How people say the values of E2E's slots: patterns over a sentence as :func:`plain` has it."""

import re

from research.applications.writing.facts import folded

RATED = r"(?:customers? |service |satisfaction )*(?:rat(?:ed|ings?|es?)|review(?:s|ed)?|scores?|satisfaction)"
IS = (
    r"(?:(?:range|is|are|was|of|as|at|a|an|the|very|quite|by|customers?|its|has|have|been|on|in|price|level|side|it|them"
    r"|for|this|coffee|shop) )*"
)
AVERAGE = rf"(?:average {RATED} {IS})?"  # an "average rating of 1 out of 5" is no average one
PRICE = r"(?:pric(?:e[sd]?|ing|ey)|costs?)"
OR_MORE, OR_LESS = r"(?:and|or) (?:up|more|above|over|higher)", r"(?:and|or) (?:less|under|below)"
FAMILY = r"(?:famil(?:y|ies)|child(?:ren)?|childrens|kids?)"
WELCOME = (
    r"(?: (?:and|or|with) (?:famil(?:y|ies)|child(?:ren)?|kids?))?"
    r"(?: (?:friendly|oriented|orientated|welcome|atmosphere|place))*"
)
NOT = r"(?:not|non|no|never|isnt|arent|doesnt|dont|without|unsuitable)(?: (?!and\b|but\b|it\b|its\b)\w+){0,7}?"


def stars(number: int, word: str) -> list[str]:
    """So many out of 5."""
    said = rf"{AVERAGE}(?:{number}|{word})"
    return [
        rf"{said} (?:out of|out|of) (?:a possible )?(?:5|five)(?: stars?| rating)*",
        rf"{said} stars?",
        rf"{number} 5 stars?",
    ]


SAYINGS: dict[str, dict[str, list[str]]] = {
    "eatType": {
        "coffee shop": [r"coffee ?(?:shops?|houses?|places?|bars?)", r"cafes?"],
        "pub": [r"pubs?", r"taverns?"],
        "restaurant": [r"restaurants?"],
    },
    "food": {
        "Chinese": [r"chinese"],
        "English": [r"english", r"british"],
        "Fast food": [r"fast ?foods?"],
        "French": [r"french"],
        "Indian": [r"indian"],
        "Italian": [r"italian", r"pasta", r"pizzas?"],
        "Japanese": [r"japanese", r"sushi"],
    },
    "priceRange": {
        "less than £20": [
            r"(?:less|lower|cheaper) (?:than|then|that) £? ?20",
            r"(?:under|below|up to|no more than) £? ?20",
            rf"£ ?20 {OR_LESS}",
            rf"20 pounds {OR_LESS}",
        ],
        "£20-25": [r"£? ?20 ?(?:to|and|through|or)? ?£? ?25"],
        "more than £30": [
            r"(?:more|higher|greater) (?:than|then|that) £? ?30",
            r"(?:over|above|upwards of|exceed(?:s|ing)?) £? ?30",
            rf"£ ?30 {OR_MORE}",
            rf"30 pounds {OR_MORE}",
        ],
        "cheap": [
            rf"cheap(?:ly)?(?: {PRICE})?",
            r"inexpensive",
            r"affordable",
            rf"low(?:ly)? {PRICE}(?: range)?",
            rf"{PRICE} {IS}(?:cheap|low)",
            r"lower? price range",
        ],
        "moderate": [
            rf"moderate(?:ly)?(?: {PRICE})?(?: range)?",
            rf"(?:mid|middle|medium)(?: level| range)? {PRICE}",
            rf"(?:average|reasonabl[ey]) {PRICE}(?: range)?",
            rf"{PRICE} {IS}(?:moderate|average|reasonable)",
            r"mid range",
        ],
        "high": [
            r"expensive",
            r"pricey",
            rf"high(?:ly|er)? (?:end )?{PRICE}(?: range)?",
            rf"{PRICE} {IS}(?:high|expensive)",
            r"high end",
            r"high in price",
        ],
    },
    "customer rating": {
        "1 out of 5": stars(1, "one"),
        "3 out of 5": stars(3, "three"),
        "5 out of 5": stars(5, "five"),
        "low": [rf"(?:low|poor|bad)(?:ly)? {RATED}", rf"{RATED} {IS}(?:low|poor|poorly)(?! {PRICE})"],
        "average": [rf"average(?:ly)? {RATED}", rf"{RATED} {IS}average(?! {PRICE})"],
        "high": [
            rf"(?:high(?:ly)?|well|top|excellent|great|good) {RATED}",
            rf"{RATED} {IS}(?:high|highly)(?! {PRICE})",
            r"highly (?:regarded|recommended)",
        ],
    },
    "area": {
        "city centre": [
            r"(?:city|town) ?cent(?:re|er)",
            r"cent(?:re|er) of (?:the )?(?:city|town|cambridge)",
            r"downtown",
            r"city area",
        ],
        "riverside": [
            r"(?:by|on|near|along|beside) the (?:bank of the )?river ?(?:side|bank)?",
            r"river ?(?:side|bank|front)?",
            r"water ?front",
        ],
    },
    "familyFriendly": {
        "no": [
            rf"{NOT} {FAMILY}{WELCOME}",
            rf"{FAMILY} (?:friendly )?(?:is |are |should |do )*(?:not|no|free|unfriendly)\b",
            r"adults? only",
            r"only adults?",
            r"(?:for|to) adults?",
            r"adult (?:friendly|oriented|establishment|environment)",
        ],
        "yes": [rf"{FAMILY}{WELCOME}", r"all ages"],
    },
}
MENTIONS = {
    slot: re.compile(
        "|".join(rf"(?P<_{i}>(?<!\w)(?:{'|'.join(ways)})(?!\w))" for i, ways in enumerate(values.values()))
    )
    for slot, values in SAYINGS.items()
}


def plain(sentence: str) -> str:
    """Small letters without accents; hyphens, slashes and dashes as spaces; "n't" as " not"; single spaces."""
    text = folded(sentence).lower().replace("’", "'").replace("n't", " not").replace("'", "")
    return " ".join(re.sub(r"[-–—/_]", " ", text).split())


def mentions(text: str, slot: str) -> list[str]:
    """The values of a closed slot, of ``eatType`` or ``food``, in the order in which a plain text says them."""
    values = list(SAYINGS[slot])
    return [values[int(str(found.lastgroup)[1:])] for found in MENTIONS[slot].finditer(text)]
