"""Numbers of bank accounts and of persons, told from others by their form and their check digits (python-stdnum)."""

import importlib
import re

IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")

NATIONAL = {  # by the module of stdnum that knows the rules, how they are written; bare digits are too common
    "br.cpf": r"\d{3}\.\d{3}\.\d{3}-\d{2}",
    "cn.ric": r"\d{17}[\dX]",
    "es.dni": r"\d{8}-?[A-Z]",
    "es.nie": r"[XYZ]-?\d{7}-?[A-Z]",
    "fi.hetu": r"\d{6}[-+A]\d{3}[0-9A-Y]",
    "fr.nir": r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}",
    "in_.aadhaar": r"\d{4} \d{4} \d{4}",
    "it.codicefiscale": r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]",
    "se.personnummer": r"\d{6}[-+]\d{4}",
    "us.ssn": r"\d{3}-\d{2}-\d{4}",
}
BOUNDED = r"(?<![A-Za-z0-9.,/=#-]){}(?![A-Za-z0-9/]|[.,-]\d)"
WRITTEN = re.compile("|".join(BOUNDED.format(form) for form in NATIONAL.values()))


def without_ibans(text: str, mask: str) -> str:
    """A text with each account number (ISO 13616) masked, but not the words of capitals that may follow it."""
    from stdnum import iban

    def masked(match: re.Match[str]) -> str:
        words = match[0].split(" ")
        for end in range(len(words), 0, -1):
            if iban.is_valid("".join(words[:end]), check_country=False):  # banks come and go
                return " ".join([mask, *words[end:]])
        return match[0]

    return IBAN.sub(masked, text)


def without_national_ids(text: str, mask: str) -> str:
    """A text with each number of a person masked of the states above."""

    def masked(match: re.Match[str]) -> str:
        number = match[0]  # some of these forms are those of several states
        forms = (name for name, form in NATIONAL.items() if re.fullmatch(form, number))
        valid = any(importlib.import_module(f"stdnum.{name}").is_valid(number) for name in forms)
        return mask if valid else number

    return WRITTEN.sub(masked, text)
