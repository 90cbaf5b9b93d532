"""A bundle beside exact search, and beside neither: the same probes, in figures and as a table."""

from rich.table import Table

from benchmarks.outcome import FPIRS, Outcome, Paired


def paired_figures(bundle: Outcome, exact: Outcome) -> dict[str, float]:
    """On how many probes the two differ."""
    figures: dict[str, float] = {}
    for name, fpir in (("rank1", None), ("fnir_at_fpir_0_01", 0.01)):
        paired = Paired.of(bundle.hits(fpir), exact.hits(fpir))
        figures[f"{name}_only_bundle_right"] = paired.only_first
        figures[f"{name}_only_exact_right"] = paired.only_second
        figures[f"{name}_p_value"] = paired.p_value
    return figures


def side_by_side(title: str, without: Outcome, bundle: Outcome, exact: Outcome) -> Table:
    """The three ways of searching, and how many probes only one of the last two gets right."""
    table = Table(title=title)
    table.add_column("%", no_wrap=True)
    for column in ("no bundle", "bundle", "exact", "bundle only", "exact only", "p"):
        table.add_column(column, justify="right")
    for fpir in (None, *FPIRS):
        ways = (without, bundle, exact)
        values = [way.rank1 if fpir is None else way.fnir_at(fpir) for way in ways]
        paired = Paired.of(bundle.hits(fpir), exact.hits(fpir))
        table.add_row(
            "rank-1" if fpir is None else f"FNIR at FPIR {100 * fpir:g}",
            *(f"{100 * value:.2f}" for value in values),
            str(paired.only_first),
            str(paired.only_second),
            f"{paired.p_value:.2f}",
        )
    return table
