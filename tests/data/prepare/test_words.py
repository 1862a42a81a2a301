import pytest

from research.data.prepare.words import check_language
from research.errors import UserError


def test_languages_whose_words_are_known() -> None:
    pytest.importorskip("jieba", reason="the extra chinese is not installed")
    check_language("language", "en")
    check_language("language", "cmn")


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("zh", "steps[1].language: write cmn for Chinese, whose words no spaces part, not zh"),
        ("english", "steps[1].language: datatrove has no word tokenizer for 'english'; codes are such as en, or cmn"),
    ],
)
def test_refused(language: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        check_language("steps[1].language", language)
    assert str(raised.value).startswith(told)
