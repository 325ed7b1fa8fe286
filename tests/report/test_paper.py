"""Tables 1 to 3 against the paper's own lines, digit for digit, in Markdown and in LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from scored_runs import scored

from ocbench.errors import UsageError
from ocbench.report import paper, sections

# As the paper prints them, mIoU in one column: rows of the table, cells without blanks, ± between mean and deviation.
PRINTED = {
    1: """\
SPAIR 65.95±4.02 77.13±1.92 55±10 0.00±0.00 0.00±0.00 1101±2
SPACE 26.31±12.93 22.75±14.04 63±3 9.14±3.46 17.53±4.13 298±80
GNM 59.92±3.72 65.05±4.19 43±3 42.25±0.18 53.37±0.67 383±2
MN 56.81±0.40 72.12±0.64 75±1 10.46±0.10 38.31±0.70 335±1
DTI 48.74±2.17 89.54±1.44 77±12 33.79±1.30 79.90±1.37 438±22
Gen-V2 9.48±0.55 57.90±20.38 158±2 7.93±1.53 31.19±12.41 315±106
eMORL 50.19±22.56 93.25±3.24 33±8 12.58±2.39 45.00±7.77 318±43
MONet 30.66±14.87 54.47±11.41 58±12 19.78±1.02 36.66±0.87 146±7
SA 36.61±24.83 95.89±2.37 23±3 22.58±2.07 62.40±2.23 254±8
IODINE 45.14±17.85 93.81±0.76 44±9 29.17±0.75 59.52±2.20 340±3
AST-Seg-B3-BT 71.92±32.94 76.05±36.13 51±63 57.30±15.72 71.79±22.88 152±39
AST-Seg-B3-CT 90.27±0.20 98.26±0.07 16±1 79.58±0.54 94.77±0.51 139±7""",
    2: """\
MONet-g 54±0 33±1 n/a n/a 70±4 57±12 n/a n/a
Gen-v2 84±1 58±3 n/a n/a 81±0 68±1 n/a n/a
SA 79±2 64±13 n/a n/a 76±1 70±5 n/a n/a
AST-Seg-B3-BT 74.96±10.02 69.86±10.13 74.50±8.61 11.7±2.1 73.77±7.56 74.12±8.63 70.18±12.68 11.8±7.0
AST-Seg-B3-CT 87.23±0.88 82.22±0.96 85.02±0.79 6.7±0.9 79.34±0.73 77.65±1.3 78.84±0.21 4.5±0.2""",
    3: """\
SPAIR 0.00±0.00 0.00±0.00 1166±5 0.00±0.00 0.00±0.00 668±3
SPACE 6.87±3.32 12.71±3.44 387±66 8.67±3.50 10.55±2.09 251±61
GNM 40.84±0.30 48.43±0.86 626±5 17.56±0.74 15.73±0.89 353±1
MN 12.13±0.19 37.29±1.04 409±3 8.79±0.15 31.52±0.87 265±1
DTI 32.55±1.08 73.67±0.98 590±4 27.54±1.55 72.90±1.89 377±17
Gen-V2 8.74±1.64 29.04±11.23 539±147 7.49±1.67 29.60±12.84 278±75
eMORL 13.17±2.58 43.13±9.28 471±51 11.56±2.09 42.34±7.19 269±31
MONet 19.30±0.37 32.97±1.00 231±7 10.52±0.38 12.44±0.73 112±7
SA 20.98±1.59 58.45±1.87 487±16 19.83±1.41 57.54±1.01 215±7
IODINE 26.28±0.85 53.20±2.55 504±3 17.52±0.75 36.31±2.57 315±3
AST-Seg-B3-CT 67.50±0.75 83.14±0.75 832±24 73.07±0.65 87.27±3.78 145±6""",
}


def printed(number: int) -> list[list[str]]:
    return [line.split() for line in PRINTED[number].splitlines()]


@pytest.mark.parametrize("plan", paper.TABLES, ids=lambda plan: f"Table {plan.number}")
def test_markdown_has_the_papers_rows_columns_and_digits(plan):
    lines = [line for line in paper.markdown([plan]).splitlines() if line.startswith("|")]
    rows = [[cell.strip().replace(" ± ", "±") for cell in line.strip("|").split("|")] for line in lines]
    assert [[cell for cell in row if cell != "–"] for row in rows[2:]] == printed(plan.number)
    for row in rows[2:]:
        own = "mIoU (%)" if row[0].startswith("AST") else "mIoU-FG (%)"
        filled = [heading for heading, cell in zip(rows[0], row, strict=True) if cell not in ("–", "n/a")]
        assert all(heading.endswith(own) for heading in filled if "mIoU" in heading), row


@pytest.mark.parametrize("plan", paper.TABLES, ids=lambda plan: f"Table {plan.number}")
def test_latex_has_the_same_cells_and_as_many_in_every_row(plan):
    text = paper.latex([plan])
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    rows = [re.sub(r" \$\\pm\$ ", "±", line.removesuffix(r" \\")).split(" & ") for line in body.splitlines()]
    assert [[cell for cell in row if cell != "--"] for row in rows] == printed(plan.number)
    [columns] = re.findall(r"\\begin\{tabular\}\{(lr+)\}", text)
    assert {len(row) for row in rows} == {len(columns)}


def test_latex_compiles_with_booktabs(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex here")
    body = paper.latex(paper.TABLES, sections([scored(tmp_path, "a_b-s0", {"miou": 0.5}, overrides=("x_y=#1",))]))
    text = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + body + "\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_ours_stand_below_under_their_own_metrics(tmp_path):
    scores = {"miou": 0.79, "miou_fg": 0.76, "ari_fg": 0.9, "mse": 140.0}
    runs = [scored(tmp_path, f"net-ct-clevrtex-s{s}", scores, seed=s) for s in range(2)]
    lines = paper.markdown(paper.TABLES[:1], sections(runs)).splitlines()
    [line] = [line for line in lines if line.startswith("| ours: net ct, seeds 0, 1 ")]
    values = ["79.00 ± 0.00", "76.00 ± 0.00", "90.00 ± 0.00", "140.0 ± 0.000"]
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == ["–"] * 4 + values
    assert "ours" not in paper.markdown(paper.TABLES[1:], sections(runs))


def test_csv_and_record_hold_every_number_as_printed():
    lines = paper.csv_text(paper.TABLES[1:2]).splitlines()
    assert any(line.startswith("2,AST-Seg-B3-CT,shapestacks,test,msc_fg,%,77.65,1.3,") for line in lines)
    [table] = paper.record(paper.TABLES[1:2])["tables"]
    assert len(table["numbers"]) == len(lines) - 1 == 28


def test_ours_do_not_vanish_from_a_csv(tmp_path):
    with pytest.raises(UsageError, match="published numbers alone"):
        paper.csv_text(paper.TABLES[:1], sections([scored(tmp_path, "a-s0", {"miou": 0.5})]))
