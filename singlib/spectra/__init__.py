"""STFT, MFC and CQT as differentiable transforms, a multi-resolution STFT, one loss on any, a report on its gradient.

It needs nothing else of singlib:

>>> loss = SpectralLoss(CQT())
>>> loss(estimate, target).backward()
>>> print(gradient_report(lambda: loss(model(x), target), model))
"""

from .gradients import GradientReport, follow_gradient, gradient_report
from .loss import CombinedLoss, SpectralLoss
from .transforms import CQT, FRAME, HOP, MFC, SPECTRA, STFT, MultiResolutionSTFT, Spectrum
