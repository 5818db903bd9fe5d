"""The page on what is known: it puts the tables into results/README.md and writes the pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks import evidence_pictures, evidence_tables
from nastransfer_nni.base.files import replacing, write_text
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.plots import style
from nastransfer_nni.report.tables.text import markdown

TABLES = {
    "proxy": evidence_tables.proxies,
    "alike": evidence_tables.agreements,
    "random": evidence_tables.gains,
    "checks": evidence_tables.checked,
}
PICTURES = {
    "proxies": evidence_pictures.proxy_picture,
    "agreement": evidence_pictures.agreement_picture,
    "gain": evidence_pictures.gain_picture,
}


def write(results: Path, names: Sequence[str]) -> None:
    """Write the tables into README.md, and the pictures.

    Args:
        results: folder of all results.
        names: bodies of evidence in the order of the page; those without stored figures are left out.
    """
    bodies = [body for name in names if (body := read_object(results / "evidence" / f"{name}.json"))]
    page = results / "README.md"
    text = page.read_text("utf-8")
    for name, table in TABLES.items():
        text = between(text, name, markdown(table(bodies)))
    write_text(page, text)
    tables = results.parent / "docs" / "tables.md"
    write_text(tables, between(tables.read_text("utf-8"), "taus", markdown(evidence_tables.taus(bodies))))
    (results / "figures").mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        with replacing(results / "figures" / f"{name}.png") as scratch:
            drawn = Image.open(io.BytesIO(style.png(style.styled(draw, bodies)))).convert("RGB")
            drawn.quantize(64, dither=Image.Dither.NONE).save(scratch, "PNG", optimize=True)


def between(text: str, name: str, content: str) -> str:
    """The text with what is between the marks of a name replaced."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    assert found, f"README.md has no mark {start.strip()}"
    assert closed, f"README.md has no mark {end}"
    return f"{before}{start}{content}{end}{after}"
