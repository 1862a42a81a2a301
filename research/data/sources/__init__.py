"""Where raw records come from. A new source is a class with `__iter__` and `fingerprint`, named in YAML."""

from research.data.sources.common_crawl import CommonCrawl
from research.data.sources.counterfactual import Counterfactual
from research.data.sources.delimited import CSV, LabelledLines
from research.data.sources.folders import Folders
from research.data.sources.group_skewed import GroupSkewed
from research.data.sources.hub import HubDataset
from research.data.sources.json_lines import JSONLines
from research.data.sources.package import Package
from research.data.sources.parquet import Parquet
from research.data.sources.pseudo_labelled import PseudoLabelled
from research.data.sources.reddit import Reddit
from research.data.sources.sample import Sample
from research.data.sources.source import Record, Source
from research.data.sources.text_files import TextFiles
from research.data.sources.triplets import Triplets
from research.data.sources.uncased import Uncased
from research.data.sources.wikipedia import Wikipedia

__all__ = [
    "CSV",
    "CommonCrawl",
    "Counterfactual",
    "Folders",
    "GroupSkewed",
    "HubDataset",
    "JSONLines",
    "LabelledLines",
    "Package",
    "Parquet",
    "PseudoLabelled",
    "Record",
    "Reddit",
    "Sample",
    "Source",
    "TextFiles",
    "Triplets",
    "Uncased",
    "Wikipedia",
]
