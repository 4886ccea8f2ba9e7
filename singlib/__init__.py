"""singlib: the Symbol-to-Instrument Neural Generator with other activations and other losses.

A reproduction of S. Thunus, J. Thomsen and D. Meyer, "Modifications to SING, the
Symbol-to-Instrument Neural Generator", and of the experiment that its authors could not run.
"""

import sys
from importlib.abc import MetaPathFinder

__version__ = "0.1.0"

# Modules of README and notebooks before the packages were made, and where their names are now: for one release.
_MOVED = {
    "answer": "singlib.report.open_question and notebooks/06-open-question.ipynb",
    "assay": "singlib.grading.controls and notebooks/05-quality.ipynb",
    "audit": "singlib.spectra",
    "batch": "singlib.runs.cluster",
    "choice": "singlib.nsynth.selection",
    "controls": "singlib.grading.controls",
    "effort": "singlib.report.open_question",
    "figures": "singlib.report.figures",
    "gallery": "singlib.grading.velocity and notebooks/01-data.ipynb",
    "generation": "singlib.network.generation",
    "models": "singlib.network.sing",
    "parameters": "singlib.runs.notebooks",
    "players": "singlib.listening.players",
    "playing": "singlib.listening.piano",
    "probes": "notebooks/02-losses.ipynb",
    "quality": "singlib.grading.grades",
    "ratings": "singlib.listening.blind_test",
    "records": "singlib.runs.records",
    "sensitivity": "singlib.report.sensitivity",
    "shelf": "singlib.network.generation",
    "spectrograms": "singlib.listening.spectrograms",
    "status": "singlib.runs.status",
    "tables": "singlib.report.tables and table3",
    "training": "singlib.runs.training",
    "verdicts": "singlib.report.verdicts",
    "views": "notebooks/train.ipynb",
}


class _Moved(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        package, _, name = fullname.rpartition(".")
        if package == "singlib" and name in _MOVED:
            raise ImportError(f"{fullname} is now in {_MOVED[name]}")


sys.meta_path.append(_Moved())
