"""Makes reports and reads their pages."""

from html.parser import HTMLParser

from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run import report

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """The links, text and tables of a page; fails if its tags are not balanced.

    `tables` are lists of rows, and rows are lists of cells, of which the first row is the heading.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.tables = [], [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def rows(self, heading):
        """The rows, as dicts, of all tables that have the heading."""
        return [
            dict(zip(table[0], row, strict=True))
            for table in self.tables
            if heading in table[0]
            for row in table[1:]
        ]


def make(folder, frame, **options):
    """Write a results table into `folder`, make its report, and return the folder of the report."""
    frame.to_csv(folder / "table.csv", index=False)
    return make_from(folder / "table.csv", folder / "out", **options)


def make_from(source, out, **options):
    report(ReportConfig.create({"input": str(source), "out": str(out), "replicates": 1000} | options))
    return out


def read(out):
    return Page((out / "index.html").read_text())
