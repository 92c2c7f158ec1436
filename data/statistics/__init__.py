"""How sure a result is, and how many episodes it takes to be surer. Each method names its source."""

from data.statistics.intervals import clopper_pearson, mean_interval, median_interval, success_rate, wilson
from data.statistics.paired import Difference, mcnemar_exact, paired_difference
from data.statistics.sequential import Verdict, confidence_sequence, non_inferiority

__all__ = [
    "Difference",
    "Verdict",
    "clopper_pearson",
    "confidence_sequence",
    "mcnemar_exact",
    "mean_interval",
    "median_interval",
    "non_inferiority",
    "paired_difference",
    "success_rate",
    "wilson",
]
