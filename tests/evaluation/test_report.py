"""The table of runs where their names are long."""

from research.evaluation.report import COLUMNS, table, tables

SHARED = "experiments_few_shot_banking77_with_masked_language_modelling_and_distillation"


def test_long_names_keep_both_ends() -> None:
    runs = {f"{SHARED}_seed_{i}": {"best loss of the held-out part": 0.5, f"{SHARED}/loss": 0.25} for i in range(2)}
    lines = table(runs).splitlines()
    assert all(f"_seed_{i}" in lines[0] for i in range(2)) and lines[0].count("experiments") == 2
    assert [line.split()[-1] for line in lines[2:]] == ["0.5", "0.25"] and "/loss" in lines[3]
    assert max(map(len, tables(runs).splitlines())) <= COLUMNS
