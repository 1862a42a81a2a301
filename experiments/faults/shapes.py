"""How much memory oneDNN keeps for products of ever new shapes, as batches of uneven texts have; writes shapes.md.

python experiments/faults/shapes.py
"""

import ctypes
import sys

import torch
from drill import row
from trial import HERE

from research.ablation.results import commit
from research.files import write_whole
from research.models.linear import linear

FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
EVERY, LAST = 400, 4000


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def held() -> float:
    """MB that the process has asked of glibc and not given back."""
    read = ctypes.CDLL("libc.so.6").mallinfo2
    read.restype = Mallinfo
    found = read()
    return float(found.uordblks + found.hblkhd) / 1e6


def main() -> int:
    torch.set_num_threads(1)
    weight, rows = torch.randn(64, 32), []
    for shapes in range(1, LAST + 1):
        linear(torch.randn(shapes, 32), weight, None)
        if shapes % EVERY == 0:
            rows.append(row(f"{shapes}", f"{held():.1f}"))
    lines = [f"Made by `{' '.join(['python', *sys.argv])}` at commit {commit()}, torch {torch.__version__}.", ""]
    lines += [row("shapes so far", "MB held"), row("---", "---"), *rows]
    write_whole(HERE / "shapes.md", "\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
