"""The paper's statements and ours, each a measurement on the records with its interval and verdict.

In the order of `CLAIMS`: section 3.1 of the paper (`curves`), sections 3.2 and 4 (`sounds`), then ours (`ours`).
"""

from . import curves, ours, sounds  # they fill CLAIMS in this order, since `ours` imports `sounds`
from .claim import CLAIMS, Claim, check
from .statistics import VERDICTS, Effect
