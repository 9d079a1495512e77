"""How commands write JSON for people and programs."""

from __future__ import annotations

import json
from typing import Any


def as_json(value: Any) -> str:
    """Give plain values as indented JSON with a newline, Chinese as it is read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
