"""The paper's statements and ours, each a measurement on the records with its interval and verdict.

In the order of `CLAIMS`: section 3.1 of the paper (`curves`), sections 3.2 and 4 (`sounds`), what it leaves open
(`questions`), then ours (`corrected`, `elu`).
"""

from . import curves, sounds, questions, corrected, elu  # noqa: I001, they fill CLAIMS in this order
from .claim import CLAIMS, Claim, check
from .statistics import VERDICTS, Effect
