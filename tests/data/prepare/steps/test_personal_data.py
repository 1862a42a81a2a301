import pytest
from datatrove.data import Document

from research.data.prepare.steps import PersonalData
from research.data.prepare.steps.personal_data import is_card
from research.errors import UserError

MASKED = [
    ("write to jane.doe+list@mail.example.co.uk, or", "write to <email>, or"),
    ("邮箱abc@example.com谢谢", "邮箱<email>谢谢"),
    ("Visa 4111 1111 1111 1111.", "Visa <card>."),
    ("卡号4111111111111111。", "卡号<card>。"),
    ("Amex 3782-822463-10005", "Amex <card>"),
    ("Mastercard 5555555555554444, please", "Mastercard <card>, please"),
    ("the server at 8.8.8.8 and its port 8.8.4.4:53", "the server at <ip> and its port <ip>:53"),
    ("ping 2001:4860:4860::8888 now", "ping <ip> now"),
    ("Call (212) 456-7890 or +44 20 7946 0958.", "Call <phone> or <phone>."),
    ("US: 866-800-1275, International: 512-434-1542, customerservice", "US: <phone>, International: <phone>, "
     "customerservice"),
    # published examples: of the registry of IBANs, of python-stdnum's documents, of the authorities
    ("to GB82 WEST 1234 5698 7654 32 please, or DE89370400440532013000.", "to <iban> please, or <iban>."),
    ("BE68 5390 0754 7034 EUR 500", "<iban> EUR 500"),
    ("her SSN is 111-22-3333, his 390.533.447-05", "her SSN is <id>, his <id>"),
    ("DNI 54362315K, NIE X2482300W, codice fiscale RCCMNL83S18D969H", "DNI <id>, NIE <id>, codice fiscale <id>"),
    ("NIR 2 95 10 99 126 111 93 et 131052-308T, 880320-0016", "NIR <id> et <id>, <id>"),
    ("身份证360426199101010071。aadhaar 2341 2341 2346", "身份证<id>。aadhaar <id>"),
]  # fmt: skip
KEPT = [
    "from 1999-2000, on 2021-03-04 at 12:30:45, and in 1914 1918 1939 1945",
    "it cost $1,234,567.89, or 12 345 678 900 yen, 3.14159265358979",
    "Windows version 10.0.19041.1, v8.8.8.8 and release 4.3.2.1",
    "see section 1.2.3.4.5 of chapter 300.1.2.3",
    "the router at 192.168.0.1, localhost 127.0.0.1, and std::vector, fe80::1, ::1",
    "ISBN 978-0-19-853453-2, order 4111 1111 1111 1112",  # the last digit fails Luhn's check
    "hc/en-us/articles/115008474148-Honor-FAQ and blogger/7386/358/400/realkid.jpg",  # real comments, as the next two
    "Delgado vs Jorge Sosa: .500/.529/1.321 in 34 plate appearances",
    "-Jones 2016-2017 75: 12 G, 30 A",
    "DE89370400440532013001, GB82 WEST 1234 5698 7654 33",  # the check digits are wrong, as in the next two
    "54362315Z, 231.002.999-00, 2341 2341 2347, RCCMNL83S18D969I",
    "666-12-3456, 000-12-3456 and 078-05-1120 are no numbers of persons",
    "@user said c@t and 0000000000000000",
]


@pytest.mark.parametrize(("text", "masked"), MASKED)
def test_masks(text: str, masked: str) -> None:
    assert PersonalData().format(text) == masked


@pytest.mark.parametrize("text", KEPT)
def test_keeps(text: str) -> None:
    assert PersonalData().format(text) == text


def test_numbers_of_another_country() -> None:
    text = "电话13812345678谢谢, 或010-62345678。"
    assert PersonalData(region="CN").format(text) == "电话<phone>谢谢, 或<phone>。"
    assert PersonalData(region=None).format(text) == text


def test_only_what_is_asked_for_and_what_was_masked_is_counted() -> None:
    step = PersonalData(phones=False, ips=False)
    text = "a@example.com, b@example.com, 8.8.8.8, (212) 456-7890"
    assert [document.text for document in step.run([Document(text, "1"), Document("none", "2")])] == [
        "<email>, <email>, 8.8.8.8, (212) 456-7890",
        "none",
    ]
    assert step.stats["masked_email"].total == 2
    assert step.format("<email>, <email>, 8.8.8.8, (212) 456-7890") == "<email>, <email>, 8.8.8.8, (212) 456-7890"


def test_luhn() -> None:
    """The well-known example 7992739871x, of whose check digits only 3 is right."""
    assert [digit for digit in range(10) if is_card(f"7992739871{digit}")] == [3]


def test_region_that_is_none() -> None:
    with pytest.raises(UserError, match=r"^region: libphonenumber knows no 'usa'"):
        PersonalData(region="usa")


@pytest.mark.parametrize(
    "text", ["1 " * 50_000, "a." * 50_000 + "@", ":" * 50_000, "4" * 100_000, "v1." * 50_000, "AB12 " * 20_000]
)
def test_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    assert len(PersonalData().format(text)) <= len(text)
