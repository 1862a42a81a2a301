"""Words of a language, by datatrove's tokenizers: those of English and Chinese, among others, download nothing."""

from datatrove.utils.word_tokenizers import load_word_tokenizer

from research.errors import UserError


def check_language(name: str, language: str) -> None:
    """Raise a `UserError` that begins with `name` where the words of a language cannot be told apart."""
    if language in ("zh", "zho"):  # datatrove takes these for romanised Chinese, and parts words at spaces
        raise UserError(f"{name}: write cmn for Chinese, whose words no spaces part, not {language}")
    try:
        load_word_tokenizer(language)
    except ValueError:
        told = f"{name}: datatrove has no word tokenizer for '{language}'"
        raise UserError(f"{told}; codes are such as en, or cmn for Chinese") from None
    except ImportError as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{name}: the words of '{language}' need another package: {last}") from None
