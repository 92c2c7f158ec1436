"""Plots as SVG text that takes its colours from the page. matplotlib draws them."""

from data.charts.amounts import amounts, latency_histogram
from data.charts.curves import learning_curves
from data.charts.page import INK, LINE, PAPER, SERIES, SOFT, axes, svg
from data.charts.rates import success_bars, success_over_time
from data.charts.regions import regions
from data.charts.sheet import contact_sheet

__all__ = [
    "INK",
    "LINE",
    "PAPER",
    "SERIES",
    "SOFT",
    "amounts",
    "axes",
    "contact_sheet",
    "latency_histogram",
    "learning_curves",
    "regions",
    "success_bars",
    "success_over_time",
    "svg",
]
