from __future__ import annotations

import re
from pathlib import Path

from visrec.checks.codes import CODES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "check.md"


def test_the_page_lists_each_code_with_its_severity_and_what_it_means():
    listed = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    assert [code for code, *_ in listed] == list(CODES)
    for code, severity, what, mend in listed:
        known = CODES[code]
        assert severity == known.severity
        assert what.lower().startswith(known.what.lower())
        assert known.meaning in what
        assert mend == {"always": known.does, "asked": f"when asked: {known.does}", None: "–"}[known.mend]
