"""``metrics.csv``: a row for each logged step, written at once, and continued by a resumed run."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from research.errors import UserError
from research.evaluation.rows import rows_of


class CSVLog(Logger):
    """Args:
    folder: the run's folder; the file is ``metrics.csv`` in it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.path = folder, folder / "metrics.csv"
        self.fields: list[str] = []

    name = version = ""  # with save_dir, they tell Lightning's ModelCheckpoint where checkpoints lie

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run's ``config.yaml`` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        try:
            self._add(row)
        except OSError as error:
            reason = f"cannot be written ({error.strerror}); make room or set run.folder"
            raise UserError(f"{self.path}: {reason}") from error

    def _add(self, row: dict[str, Any]) -> None:
        if new := [name for name in row if name not in self.fields]:
            rows = self.rows() if self.path.exists() else []
            self.fields = ["step", *sorted({*self.fields, *new} - {"step"})]
            self._write(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.fields).writerow(row)

    def rows(self) -> list[dict[str, str]]:
        """The whole rows of the file; a row that a killed run left torn is not among them."""
        return rows_of(self.path)

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget rows after ``step``, which a resumed run writes again."""
        if not self.path.exists():
            return
        rows = [row for row in self.rows() if int(row["step"]) <= step]
        self.fields = list(rows[0]) if rows else []
        if rows:
            self._write(rows)
        else:
            self.path.unlink()

    def _write(self, rows: list[dict[str, str]]) -> None:
        work = self.path.with_suffix(".csv.new")
        try:
            with work.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.fields)
                writer.writeheader()
                writer.writerows(rows)
            os.replace(work, self.path)
        except BaseException:
            work.unlink(missing_ok=True)
            raise
