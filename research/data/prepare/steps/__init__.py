"""Steps of our own between source and output. Any step of datatrove serves as well: YAML names its class."""

from research.data.prepare.steps.blank import Blank
from research.data.prepare.steps.decontamination import Decontamination
from research.data.prepare.steps.language import Language
from research.data.prepare.steps.personal_data import PersonalData
from research.data.prepare.steps.repetition import Repetition

__all__ = ["Blank", "Decontamination", "Language", "PersonalData", "Repetition"]
