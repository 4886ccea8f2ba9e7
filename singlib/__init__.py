"""singlib: the Symbol-to-Instrument Neural Generator with other activations and other losses.

A reproduction of S. Thunus, J. Thomsen and D. Meyer, "Modifications to SING, the
Symbol-to-Instrument Neural Generator", and of the experiment that its authors could not run.
"""

__version__ = "0.1.0"
