from __future__ import annotations

import subprocess
import sys


def test_the_modules_load_nothing_heavy():
    # They are loaded in every worker process, and by whatever lists the extractors.
    modules = ", ".join(
        f"visrec.features.handcrafted.{name}" for name in ("attractiveness", "color", "hog", "lbp", "sift")
    )
    code = f"import sys, {modules}; print(*sorted({{'torch', 'cv2', 'skimage', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
