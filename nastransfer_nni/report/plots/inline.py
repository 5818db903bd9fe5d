"""Figures as part of a page."""

from __future__ import annotations

import html
import re

from nastransfer_nni.report.plots.style import INK


def inline_svg(svg: str, text: str) -> str:
    """Turn an SVG file into an element of a page, without size, and with `text` for screen readers."""
    code = svg[svg.index("<svg") :]
    code = re.sub(r"<metadata>.*?</metadata>", "", code, flags=re.DOTALL)
    for attribute in ("height", "width"):
        code = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", code)
    code = code.replace("<svg", f'<svg role="img" aria-label="{html.escape(text)}"', 1)
    return code.replace(INK, "currentColor")
