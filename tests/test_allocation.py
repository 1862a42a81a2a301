"""Large blocks that were freed are taken again without a page fault."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from research.allocation import keep_freed_memory
if {kept}: keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): torch.ones(2**24)
before = faults()
for _ in range(5): torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_used_again() -> None:
    def faults(kept: bool) -> int:
        line = [sys.executable, "-c", PROGRAM.format(kept=kept)]
        return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout)

    assert faults(kept=True) < 1000 < faults(kept=False)
