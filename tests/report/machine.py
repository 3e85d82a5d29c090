"""The matrix for machines: `matrix.json`, strict JSON with every cell and every row."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from report.cells import Cell
from report.matrix import Matrix
from report.sources import Sources

_SHOWN = ("error", "bound", "reason", "exact", "comparisons", "test", "broken", "skipped")


def render(matrix: Matrix, sources: Sources) -> str:
    """The whole document; an error that is no finite number is a string, `"inf"` or `"nan"`."""
    keys = matrix.keys()
    ids = dict.fromkeys(id for id, _ in keys)
    document = {
        "revision": matrix.revision,
        "date": matrix.date,
        "holds": matrix.holds,
        "count": matrix.count_line(),
        "cells": [_cell(cell) for cell in matrix.cells],
        "rows": [
            {
                "id": id,
                "quantity": quantity,
                "cells": {
                    cell.name: {name: _plain(getattr(cell.rows[id, quantity], name)) for name in _SHOWN}
                    for cell in matrix.cells
                    if (id, quantity) in cell.rows
                },
            }
            for id, quantity in keys
        ],
        "statements": {id: dataclasses.asdict(sources.statements[id]) for id in ids if id in sources.statements},
        "functions": {id: [dataclasses.asdict(place) for place in sources.functions.get(id, ())] for id in ids},
    }
    return json.dumps(document, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _cell(cell: Cell) -> dict[str, Any]:
    plain = {name: getattr(cell, name) for name in ("name", "reason", "seconds", "passed", "failed", "skipped")}
    problems = [dataclasses.asdict(problem) for problem in cell.problems]
    faults = [dataclasses.asdict(fault) for fault in cell.faults]
    told = {"problems": problems, "faults": faults, "left_out": sorted(cell.left_out)}
    return {**plain, "state": cell.state.value, "versions": cell.versions, **told}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
