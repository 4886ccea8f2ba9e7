"""The paper's statements and ours, each a measurement on the records with its interval and verdict."""

from .catalogue import CLAIMS, check
from .effects import Claim
from .statistics import VERDICTS, Effect
