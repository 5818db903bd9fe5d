"""The style of a report's plots, which are narrow enough for the screen of a phone."""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#24292f"
"""Colour of all text and axes; the page replaces it with its own text colour."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7b61c4")
"""Okabe & Ito's palette for colour-blind readers, and two more colours."""
ON_DARK = ("#4aa8e8", "#ff8a3d", "#2cc79b", "#e39bc4", "#f0b429", "#8fd0f5", "#c9a86f", "#ab97ee")
"""The same colours where the ground is dark; the page replaces them."""
SHAPES = "os^DvP*X"
"""Shapes of dots, so that no two strategies differ by their colours alone."""
GREY = "#8c959f"
DOTS = "dots-"
"""Start of the id of a group of dots in the SVG; its number follows."""
WIDTH = 3.7
"""Width of every plot in inches: that of a phone's screen, on which a point of text is 1.3 pixels high."""
MAX_LINES = 5
"""Lines of a strategy's name with its options."""
LETTERS = 18
"""Letters of a name that fit on a line beside an axis."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nastransfer",
    "text.parse_math": False,  # names may contain dollar signs
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def shape(index: int) -> str:
    """The shape of the dots of a figure's strategy, by its number."""
    return SHAPES[index % len(SHAPES)]


def styled(plot: Callable[..., Figure], *arguments: object) -> Figure:
    """Call a function that plots in the style of the report."""
    with _drawing():
        figure = plot(*arguments)
        figure.draw_without_rendering()  # places everything once, for all files
        figure.set_layout_engine("none")
    return figure


def svg(figure: Figure) -> str:
    """The figure as SVG without background; equal figures give equal text."""
    buffer = io.StringIO()
    with _drawing():
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG on a white background."""
    buffer = io.BytesIO()
    with _drawing():
        figure.savefig(buffer, format="png", bbox_inches="tight", dpi=200, facecolor="white")
    return buffer.getvalue()


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Draw in the style of the report; who reads the SVG has fonts for letters that Matplotlib lacks."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


class Plot(Figure):
    """A figure whose dots tell something on the page.

    Attributes:
        tips: what the dots of each group tell, in the order in which `dots` has drawn them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.tips: list[list[str]] = []

    def dots(self, axes: Axes, at: tuple[Any, Any], form: str, tips: Iterable[str], **options: Any) -> None:
        """Draw a group of dots.

        Args:
            axes: the axes.
            at: places of the dots on both axes.
            form: shape of the dots, as `Axes.plot` has it.
            tips: what each dot tells; empty for nothing.
            options: those of `Axes.plot`.
        """
        axes.plot(*at, form, gid=f"{DOTS}{len(self.tips)}", **options)
        self.tips.append(list(tips))


def single(height: float) -> tuple[Plot, Axes]:
    """A figure of one plot, with its height in inches."""
    figure = Plot(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def wrapped(place: str) -> str:
    """The name of a source and proxy on several lines, which start with its parts where they can."""
    parts = place.replace("+", " +").replace(",", ", ").split(" / ")
    return "\n".join(line for part in parts for line in textwrap.wrap(part, LETTERS))


def folded(name: str) -> str:
    """A strategy's name, on several lines if it is long: the options have lines of their own."""
    if len(name) <= LETTERS:
        return name
    strategy, separator, options = name.partition(" (")
    lines = [*textwrap.wrap(strategy, LETTERS), *(textwrap.wrap(f"({options}", LETTERS) if separator else [])]
    return "\n".join([*lines[: MAX_LINES - 1], "…"] if len(lines) > MAX_LINES else lines)


def pitch(names: Sequence[str]) -> float:
    """Height of a row in inches that fits the folded names."""
    lines = max((folded(name).count("\n") + 1 for name in names), default=1)
    return 0.08 + 0.15 * lines


def entry(name: str) -> str:
    """A strategy's name in a legend."""
    return name if len(name) <= 2 * LETTERS else folded(name)


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Add a legend below the axes, in as many columns as fit."""
    figure.legend(
        loc="outside lower center", ncols=_columns(names), frameon=False, fontsize=8.5, handletextpad=0.3
    )


def legend_height(names: Sequence[str]) -> float:
    """Height of the legend in inches."""
    lines = max((entry(name).count("\n") + 1 for name in names), default=1)
    return 0.1 + 0.17 * lines * -(-len(names) // _columns(names))


def _columns(names: Sequence[str]) -> int:
    longest = max(map(len, names), default=0)
    return 3 if longest <= 10 else 2 if longest <= LETTERS else 1
