"""What the cells say of arms that are done, half done, failed or left out; and the three formats, read back."""

import csv
import io
import re
from collections.abc import Callable

import pytest

from research.ablation.reporting.analysis import Analysis
from research.ablation.reporting.latex import latex
from research.ablation.reporting.layout import Layout, floor
from research.ablation.reporting.tables import comma_separated, labels, markdown, repeat
from research.ablation.results import Results

ACCURACY, LOSS = "test/ce/accuracy", "test/mlm/loss"
AXES = {"task": ["trec", "sst_2"], "objectives": ["all", "-kd", "[*]"]}


def measured(*values: float, loss: float = 12.5) -> list[dict]:
    return [{ACCURACY: value, LOSS: loss} for value in values]


@pytest.fixture
def layout(results_of: Callable[..., Results]) -> Layout:
    arms = {
        ("trec", "all"): measured(0.5, 0.6, 0.7, 0.6, 0.6, 0.6, 0.6),
        ("trec", "-kd"): measured(0.3, 0.4, 0.5, 0.4, 0.4, 0.4, 0.4, loss=11.5),
        ("trec", "[*]"): ["boom"] * 7,
        ("sst_2", "all"): [{ACCURACY: 0.8}, {ACCURACY: 0.9}, None, None, "boom", None, None],
        ("sst_2", "-kd"): [None] * 7,
    }
    metrics = {ACCURACY: "max", LOSS: "min"}
    return Layout(Analysis(results_of(AXES, arms, metrics=metrics, baseline={"objectives": "all"})))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_markdown_tells_what_is_there_and_what_is_not(layout: Layout) -> None:
    text = markdown(layout)
    head, _, *rows = [cells(line) for line in text.split("\n\n")[2].splitlines()]
    assert head == ["objectives", "trec: ce/accuracy ↑", "trec: mlm/loss ↓", "sst_2: ce/accuracy ↑"]
    assert rows == [
        ["all (baseline)", "**0.600 ± 0.053**", "12.50 ± 0.00", "0.850 ± 0.635 (2 of 7 seeds, 1 failed)"],
        ["-kd", "0.400 ± 0.053 ▼", "**11.50 ± 0.00** ▲", "- (0 of 7 seeds)"],
        ["[*]", "failed", "failed", "left out"],
    ], "t(0.975, 6) is 2.447 and s 0.0577; 2 seeds have t = 12.706; no run of sst_2 measured the loss"
    assert "| trec, -kd | 7 | 0.400 | 0.058 | 0.347 to 0.453 | trec, all | -0.200 | " in text
    assert "| 0.0156 | 0.0156 | 7 seeds | - | - |" in text, "2 / 2^7, of one comparison; all differences are the same"
    assert "7 seeds can give no p below 0.0156, before the correction." in text


def test_markdown_leads_to_the_runs(layout: Layout) -> None:
    text = markdown(layout)
    (line,) = [line for line in text.splitlines() if line.startswith("| sst_2, all | 10.0 | 1.00 | [0]")]
    assert "[0](../../runs/ablations/question/0015), " in line
    assert "[2](../../runs/ablations/question/0017) missing" in line and "/0019) failed" in line
    assert "`python -m research.cli fit --config sst_2_all.yaml --seed_everything SEED`" in line


def test_markdown_shows_names_as_they_are(results_of: Callable[..., Results]) -> None:
    results = results_of({"a|b": ["<script>", "x < 1"]}, {("<script>",): measured(0.5), ("x < 1",): measured(0.5)})
    results.runs[0]["run"] = "runs/a (b)/c d"
    results.runs[0]["options"] = ["--a", "<b>|c"]
    text = markdown(Layout(Analysis(results)))
    assert r"| a\|b |" in text and r"| \<script> |" in text and "| x < 1 |" in text
    assert "[0](runs/a%20%28b%29/c%20d)" in text and r"`python -m research.cli fit --a '<b>\|c'`" in text


def test_figures_name_the_commits_of_their_runs(layout: Layout) -> None:
    layout.analysis.arms["trec", "all"][0]["commit"] = "def5678"
    assert "`python -m research.cli ablate` at commit def5678, abc1234; experiments" in markdown(layout)


def test_the_command_of_an_arm_says_where_its_runs_differ() -> None:
    runs = [
        {"seed": seed, "options": ["--a", "b c", "--t", f"runs/{key}", "--s", str(seed)]}
        for seed, key in ((0, "x"), (1, "y"))
    ]
    fit = "python -m research.cli fit --a 'b c'"
    assert repeat(runs) == fit + " --t {runs/x,runs/y} --s SEED"
    assert repeat(runs[:1]) == fit + " --t runs/x --s 0"


def test_a_run_that_came_first_is_paid_for(results_of: Callable[..., Results]) -> None:
    results = results_of({}, {(): measured(0.5, 0.7)})
    results.runs[0]["cost"]["first_seconds"] = 30
    assert Analysis(results).cost((), "seconds") == [40, 10]


def test_few_seeds_are_told_what_they_cannot_show() -> None:
    assert floor(5) == "5 seeds can give no p below 0.0625, so no such difference can be significant."
    assert floor(1).startswith("1 seed can give no p below 1,")
    assert floor(8) == "8 seeds can give no p below 0.00781, before the correction."


def test_latex_is_whole_tables(layout: Layout) -> None:
    text = latex(layout)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3, "the arms, and two metrics"
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lcr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rules = re.findall(r"\\(toprule|midrule|bottomrule)", body)
        assert rules == ["toprule", "midrule", "bottomrule"]
        for line in filter(None, body.split("\n")):
            if line.endswith(r"\\"):
                spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans) == len(columns), line
            else:
                assert re.fullmatch(r"(\\\w+rule(\(lr\)\{\d+-\d+\})?)+", line), line
        assert max(map(int, re.findall(r"-(\d+)\}", body)), default=0) <= len(columns)
    assert text.count(r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}") == 3, "none is wider than the text"
    assert r"\shortstack{0.850 $\pm$ 0.635\\\scriptsize (2 of 7 seeds, 1 failed)}" in text
    assert " & $-$0.200 & $-$0.200 to $-$0.200 & " in text and "\n-kd & " in text, "a minus is none of a name's hyphens"
    assert r"\label{tab:comparisons-2}" in text and "mlm/loss of each arm against its baseline." in text
    for group in ("{}", "[]"):
        assert text.count(group[0]) == text.count(group[1])
    assert r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}" in text and r"\multicolumn{1}{c}{sst\_2}" in text
    assert r"\textbf{0.600 $\pm$ 0.053} &" in text and r"0.400 $\pm$ 0.053$^{\bigtriangledown}$" in text
    assert "\n{[}{*}] & failed" in text, "a row that begins with [ or * would be an argument of the one before"
    assert text.isascii() and not re.search(r"(?<!\\)[_#]", text.replace("usepackage", "")), "nothing is left to escape"


def test_csv_holds_the_figures_as_measured(layout: Layout) -> None:
    rows = {(r["task"], r["objectives"], r["metric"]): r
            for r in csv.DictReader(io.StringIO(comma_separated(layout.analysis)))}  # fmt: skip
    assert len(rows) == 10
    row = rows["trec", "-kd", ACCURACY]
    assert float(row["mean"]) == pytest.approx(0.4) and float(row["difference"]) == pytest.approx(-0.2)
    assert float(row["p"]) == pytest.approx(0.015625) and row["baseline"] == "trec, all" and row["examples"] == "0"
    assert (row["training_seconds"], row["tokens"], row["peak_memory_gb"]) == ("10.0", "50.0", "1.0")
    row = rows["sst_2", "all", ACCURACY]
    assert (row["asked"], row["seeds"], row["failed"], row["done"], row["p"]) == ("7", "2", "1", "0 1", "")
    assert row["keys"].split()[0] == "0015" and row["runs"].split()[0] == "../../runs/ablations/question/0015"
    assert rows["trec", "[*]", ACCURACY]["mean"] == ""


def test_tasks_alone_and_no_axes_at_all(results_of: Callable[..., Results]) -> None:
    tasks = Layout(Analysis(results_of({"task": ["a", "b"]}, {("a",): measured(0.5), ("b",): measured(0.6)})))
    assert [str(column) for column in tasks.columns] == ["a: ce/accuracy", "b: ce/accuracy"]
    assert [[cell.text for cell in row if cell] for row in tasks.cells] == [["0.500", "0.600"]]
    assert not any(cell.best for cell in tasks.cells[0] if cell), "different tasks are no rivals"
    alone = Layout(Analysis(results_of({}, {(): measured(0.5, 0.7)})))
    assert "| arm | ce/accuracy ↑ |\n|---|---|\n| base | 0.600 ± 1.271 |" in markdown(alone)


def test_the_baselines_own_axis_says_so(results_of: Callable[..., Results]) -> None:
    axes = {"objectives": ["all", "-kd"], "lr": ["low", "high"]}
    arms = {(objectives, lr): measured(0.5) for objectives in axes["objectives"] for lr in axes["lr"]}
    layout = Layout(Analysis(results_of(axes, arms, baseline={"objectives": "all"})))
    assert [labels(layout, row) for row in layout.rows[1:3]] == [["all (baseline)", "high"], ["-kd", "low"]]
