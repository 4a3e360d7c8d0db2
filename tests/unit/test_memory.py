from __future__ import annotations

import os
import subprocess
import sys

import pytest

MIB = 1 << 20


def faults(beginning: str) -> int:
    """How often a process had to ask for a page while it made and freed the same 8 MiB fifty times."""
    code = (
        f"{beginning}\n"
        "import resource, numpy as np\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        f"for _ in range(50):\n    arrays = [np.ones({2 * MIB}, np.uint8) for _ in range(4)]\n    del arrays\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    return int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.skipif(
    not (hasattr(os, "confstr") and os.confstr_names.get("CS_GNU_LIBC_VERSION")), reason="glibc alone"
)
def test_freed_memory_is_used_again_instead_of_being_asked_for_anew():
    pages = 8 * MIB // os.sysconf("SC_PAGE_SIZE")
    assert faults("from visrec.memory import keep_freed_memory; keep_freed_memory()") < 3 * pages
    assert faults("") > 10 * pages
