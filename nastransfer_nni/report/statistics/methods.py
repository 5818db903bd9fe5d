"""The methods that a report uses, as BibTeX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Method:
    """A published method.

    Attributes:
        key: key of the BibTeX entry.
        authors: authors, as BibTeX has them.
        title: title of the paper.
        year: year of publication.
        venue: journal, or proceedings where `fields` has no volume.
        fields: further fields of the entry.
    """

    key: str
    authors: str
    title: str
    year: int
    venue: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def bibtex(self) -> str:
        """The entry."""
        kind, venue = ("article", "journal") if "volume" in self.fields else ("inproceedings", "booktitle")
        entries = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            venue: self.venue,
            "year": str(self.year),
        }
        lines = [f"  {name} = {{{value}}}" for name, value in {**entries, **self.fields}.items()]
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


def _pages(volume: int, number: str, pages: str) -> dict[str, str]:
    return {"volume": str(volume), **({"number": number} if number else {}), "pages": pages}


METHODS: Mapping[str, Method] = {
    "random": Method(
        "yang2020nas",
        "Yang, Antoine and Esperan{\\c{c}}a, Pedro M. and Carlucci, Fabio M.",
        "NAS evaluation is frustratingly hard",
        2020,
        "International Conference on Learning Representations",
    ),
    "nastransfer": Method(
        "panda2021nastransfer",
        "Panda, Rameswar and Merler, Michele and Jaiswal, Mayoore S. and Wu, Hui and Ramakrishnan, Kandan "
        "and Finkler, Ulrich and Chen, Chun-Fu and Cho, Minsik and Feris, Rogerio and Kung, David and "
        "Bhattacharjee, Bishwaranjan",
        "NASTransfer: Analyzing Architecture Transferability in Large Scale Neural Architecture Search",
        2021,
        "AAAI Conference on Artificial Intelligence",
    ),
    "welch": Method(
        "welch1947generalization",
        "Welch, B. L.",
        "The generalization of `Student's' problem when several different population variances are involved",
        1947,
        "Biometrika",
        _pages(34, "1-2", "28--35"),
    ),
    "satterthwaite": Method(
        "satterthwaite1946approximate",
        "Satterthwaite, F. E.",
        "An approximate distribution of estimates of variance components",
        1946,
        "Biometrics Bulletin",
        _pages(2, "6", "110--114"),
    ),
    "fieller": Method(
        "fieller1954problems",
        "Fieller, E. C.",
        "Some problems in interval estimation",
        1954,
        "Journal of the Royal Statistical Society. Series B",
        _pages(16, "2", "175--185"),
    ),
    "bell_mccaffrey": Method(
        "bell2002bias",
        "Bell, Robert M. and McCaffrey, Daniel F.",
        "Bias reduction in standard errors for linear regression with multi-stage samples",
        2002,
        "Survey Methodology",
        _pages(28, "2", "169--181"),
    ),
    "shapiro_wilk": Method(
        "shapiro1965analysis",
        "Shapiro, S. S. and Wilk, M. B.",
        "An analysis of variance test for normality (complete samples)",
        1965,
        "Biometrika",
        _pages(52, "3-4", "591--611"),
    ),
    "holm": Method(
        "holm1979simple",
        "Holm, Sture",
        "A simple sequentially rejective multiple test procedure",
        1979,
        "Scandinavian Journal of Statistics",
        _pages(6, "2", "65--70"),
    ),
    "tost": Method(
        "schuirmann1987comparison",
        "Schuirmann, Donald J.",
        "A comparison of the two one-sided tests procedure and the power approach for assessing the "
        "equivalence of average bioavailability",
        1987,
        "Journal of Pharmacokinetics and Biopharmaceutics",
        _pages(15, "6", "657--680"),
    ),
    "brunner_munzel": Method(
        "brunner2000nonparametric",
        "Brunner, Edgar and Munzel, Ullrich",
        "The nonparametric Behrens-Fisher problem: Asymptotic theory and a small-sample approximation",
        2000,
        "Biometrical Journal",
        _pages(42, "1", "17--25"),
    ),
    "permutation": Method(
        "neubert2007studentized",
        "Neubert, Karin and Brunner, Edgar",
        "A studentized permutation test for the non-parametric Behrens-Fisher problem",
        2007,
        "Computational Statistics and Data Analysis",
        _pages(51, "10", "5192--5204"),
    ),
    "looks": Method(
        "lan1983discrete",
        "Lan, K. K. Gordon and DeMets, David L.",
        "Discrete sequential boundaries for clinical trials",
        1983,
        "Biometrika",
        _pages(70, "3", "659--663"),
    ),
    "looks_holm": Method(
        "ye2013group",
        "Ye, Yining and Li, Ai and Liu, Lingyun and Yao, Bin",
        "A group sequential Holm procedure with multiple primary endpoints",
        2013,
        "Statistics in Medicine",
        _pages(32, "7", "1112--1124"),
    ),
    "kendall": Method(
        "kendall1938new",
        "Kendall, M. G.",
        "A new measure of rank correlation",
        1938,
        "Biometrika",
        _pages(30, "1-2", "81--93"),
    ),
    "swap": Method(
        "berger1982multiparameter",
        "Berger, Roger L.",
        "Multiparameter hypothesis testing and acceptance sampling",
        1982,
        "Technometrics",
        _pages(24, "4", "295--300"),
    ),
    "demsar": Method(
        "demsar2006statistical",
        "Dem{\\v{s}}ar, Janez",
        "Statistical comparisons of classifiers over multiple data sets",
        2006,
        "Journal of Machine Learning Research",
        _pages(7, "", "1--30"),
    ),
    "bonett_wright": Method(
        "bonett2000sample",
        "Bonett, Douglas G. and Wright, Thomas A.",
        "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
        2000,
        "Psychometrika",
        _pages(65, "1", "23--28"),
    ),
}
"""The methods by what they are for."""
