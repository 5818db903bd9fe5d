"""Figures as part of a page."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from nastransfer_nni.base.files import digest
from nastransfer_nni.report.plots.style import DOTS, INK, ON_DARK, PALETTE


def inline_svg(svg: str, text: str, tips: Sequence[Sequence[str]] = ()) -> str:
    """Turn an SVG file into an element of a page, without size, and with a text for screen readers.

    Args:
        svg: content of the file.
        text: what the figure shows, with its numbers.
        tips: what the dots of each group tell, as `style.Plot` has them.
    """
    code = svg[svg.index("<svg") :]
    code = re.sub(r"<metadata>.*?</metadata>", "", code, flags=re.DOTALL)
    for attribute in ("height", "width"):
        code = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", code)
    told = _with_tips(code, tips)
    # dots are no part of an image for screen readers: they would not be read
    role = "img" if told == code else "group"
    told = re.sub(r'<g id="text_\d+">', '<g aria-hidden="true">' if role == "group" else "<g>", told)
    told = re.sub(r'<g id="[^"]*">', "<g>", told)
    mark = f"f{digest([svg, text], 6)}-"  # a page has no id twice
    told = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{mark}", told)
    told = told.replace("<svg", f'<svg role="{role}" aria-label="{html.escape(text)}"', 1)
    for number, color in enumerate(PALETTE):
        told = told.replace(color, f"var(--c{number}, {color})")
    return told.replace(INK, "currentColor")


def dark_colors() -> str:
    """CSS that gives the figures on a page the colours for a dark ground."""
    return " ".join(f"--c{number}: {color};" for number, color in enumerate(ON_DARK))


def _with_tips(code: str, tips: Sequence[Sequence[str]]) -> str:
    """Give every dot its tip as a title; a group of which not every dot was drawn tells nothing."""
    for number, group in enumerate(tips):
        start = code.find(f'<g id="{DOTS}{number}">')
        end = code.find('<g id="', start + 1)
        part = code[start : end if end > 0 else len(code)]
        if start >= 0 and part.count("<use ") == len(group) and all(group):
            code = code[:start] + _titled(part, group) + code[start + len(part) :]
    return code


def _titled(part: str, group: Sequence[str]) -> str:
    titles = iter(f"<title>{html.escape(tip)}</title>" for tip in group)
    return re.sub(
        r"<use ([^>]*)/>", lambda dot: f'<use class="dot" role="img" {dot[1]}>{next(titles)}</use>', part
    )
