"""The Python of docs/feedback.md, executed as it stands."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "feedback.md").read_text(encoding="utf-8")


def test_python_of_the_feedback_page_works(tmp_path, capsys):
    names: dict[str, object] = {}
    found = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(found) == 2
    (tmp_path / "runs" / "first").mkdir(parents=True)
    with contextlib.chdir(tmp_path):
        for block in found:
            exec(compile(block, "feedback.md", "exec"), names)
    assert "('00009',) {'sessions': 1, 'shown': 1, 'events': 1, 'like': 1}" in capsys.readouterr().out
    rows = (tmp_path / "autumn-tables" / "participants.csv").read_text().splitlines()
    assert len(rows) == 2
    assert names["assignment"].participant in rows[1]  # type: ignore[attr-defined]
