"""Personal data in text, masked by what they are."""

import ipaddress
import re
from collections.abc import Callable
from functools import partial

from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.formatters.pii import PIIReplacer

from research.data.prepare.steps.identity_numbers import without_ibans, without_national_ids
from research.errors import UserError

# Bounds are ASCII: where no spaces part words, other letters stand right beside an address.
EMAIL = r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![A-Za-z0-9-])"
VERSION = r"(?:\b(?i:version|release|build|firmware|v)[ .:]*)?"  # what it begins with, the validator refuses
IPV4 = VERSION + r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)"
IPV6 = r"(?<![A-Za-z0-9_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9_:])"
CARD = r"(?<![A-Za-z0-9_.,/=#-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![A-Za-z0-9_/]|[.,-]\d)"
MANY_DIGITS = re.compile(r"(?:\d[^\d\n]{0,4}){7}")


class PersonalData(BaseFormatter):
    """Writes `<email>`, `<ip>`, `<iban>`, `<id>`, `<card>` and `<phone>` for such addresses and numbers; counts them.

    IP addresses are masked if public, after no word for a version; bank accounts if they are valid IBANs; numbers of
    persons if they are written and checked as those of Brazil, China, Finland, France, India, Italy, Spain, Sweden or
    the United States; card numbers if they have 12 to 19 digits that pass Luhn's check; phone numbers if libphonenumber
    finds them valid and grouped as is the custom. `region`, two letters such as US or CN, is where phone numbers
    without a country code are from; without it, only those with one are found.
    """

    name = "Personal data"

    def __init__(
        self,
        emails: bool = True,
        ips: bool = True,
        ibans: bool = True,
        ids: bool = True,
        cards: bool = True,
        phones: bool = True,
        region: str | None = "US",
    ):
        super().__init__()
        import phonenumbers

        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            raise UserError(f"region: libphonenumber knows no '{region}'; it takes two capital letters, such as US")
        self.region, self.phones = region, phones
        self.replacers: list[tuple[str, Callable[[str], str]]] = [
            *([("email", PIIReplacer(EMAIL, "<email>").replace)] if emails else []),
            *([("ip", PIIReplacer(f"{IPV4}|{IPV6}", "<ip>", is_public).replace)] if ips else []),
            *([("iban", partial(without_ibans, mask="<iban>"))] if ibans else []),
            *([("id", partial(without_national_ids, mask="<id>"))] if ids else []),
            *([("card", PIIReplacer(CARD, "<card>", is_card).replace)] if cards else []),
        ]

    def format(self, text: str) -> str:
        for kind, replace in self.replacers:
            text = self._counted(kind, text, replace(text))
        return self._counted("phone", text, self._without_phones(text)) if self.phones else text

    def _counted(self, kind: str, before: str, after: str) -> str:
        if after != before:
            mask = f"<{kind}>"
            self.stat_update(f"masked_{kind}", value=after.count(mask) - before.count(mask))
        return after

    def _without_phones(self, text: str) -> str:
        if not MANY_DIGITS.search(text):
            return text
        from phonenumbers import Leniency, PhoneNumberMatcher

        end, kept = 0, list[str]()
        for match in PhoneNumberMatcher(text, self.region, Leniency.STRICT_GROUPING, max_tries=len(text)):
            if text[match.start - 1 : match.start] not in ("/", "=", "#"):  # the numbers of web addresses
                kept += [text[end : match.start], "<phone>"]
                end = match.end
        return "".join([*kept, text[end:]])


def is_public(address: str) -> bool:
    """Whether this is an IP address that anyone could reach."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return ip.is_global and not ip.is_multicast and (ip.version == 4 or ip in ipaddress.ip_network("2000::/3"))


def is_card(number: str) -> bool:
    """Whether the digits pass Luhn's check (ISO/IEC 7812-1): a sum, every second digit from the right doubled."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1
