"""The page from its parts: styles, scripts and numbers go into one file that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = ("elements.js", "charts.js", "runs.js", "curves.js", "comparison.js", "main.js")


def page(data: Mapping[str, Any]) -> str:
    """Return the page as text.

    Nothing of ``data`` can become an element or a script: it stands in a block that browsers do not run, without any
    "<", is shown as text, and the page allows no script but ours (by its hash) and no connection.
    """
    script = "\n".join((HERE / name).read_text() for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    style = (HERE / "page.css").read_text()
    parts = {
        "{{title}}": html.escape(str(data["title"])),
        "{{policy}}": (
            f"default-src 'none'; base-uri 'none'; form-action 'none'; script-src {_hash(script)}; "
            f"style-src {_hash(style)}; img-src 'self' file: data:"
        ),
        "{{style}}": style,
        "{{data}}": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "{{script}}": script,
    }
    text = (HERE / "page.html").read_text()
    pieces = []
    for name, part in parts.items():  # in the order of the page, so that a part may hold another's name
        before, text = text.split(name, 1)
        pieces += [before, part]
    return "".join([*pieces, text])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
