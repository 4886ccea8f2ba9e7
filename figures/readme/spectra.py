"""Draw spectra.png: STFT, MFC and CQT of a note of NSynth that comes with the records, at the paper's sizes.

python figures/readme/spectra.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch

from singlib.spectra import CQT, MFC, STFT

HERE = Path(__file__).parent
NOTE = HERE.parents[1] / "data" / "recorded-best" / "targets" / "brass1-062-075.flac"  # D4, 294 Hz
RANGE = 80  # dB below the loudest

waveform, rate = soundfile.read(NOTE, dtype="float32")
stft, mfc, cqt = (spectrum(torch.from_numpy(waveform)).numpy() for spectrum in (STFT(), MFC(), CQT()))
seconds = [np.arange(part.shape[1] + 1) * 256 / rate for part in (stft, mfc, cqt)]

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
powers = {
    "STFT: 513 bins, 1,024 samples": (left, stft, np.linspace(0, rate / 2, 514) / 1000),
    "CQT: 84 bins, 12 an octave": (right, cqt, CQT.FMIN * 2 ** (np.arange(-0.5, 84) / 12) / 1000),
}
for title, (axes, power, edges) in powers.items():
    level = 10 * np.log10(np.maximum(power / power.max(), 1e-12))
    times = seconds[0] if axes is left else seconds[2]
    image = axes.pcolormesh(times, edges, level, cmap="cividis", vmin=-RANGE, vmax=0, rasterized=True)
    axes.set(title=title, ylabel="frequency (kHz)")
    figure.colorbar(image, ax=axes, label="power (dB below the loudest)")
right.set_yscale("log")
right.set_yticks([0.0625, 0.125, 0.25, 0.5, 1, 2, 4], ["0.06", "0.12", "0.25", "0.5", "1", "2", "4"])
right.minorticks_off()
# The first two, loudness and tilt, are many times as large as the others: those have the scale.
limit = np.quantile(np.abs(mfc[2:]), 0.99)
image = middle.pcolormesh(seconds[1], np.arange(21) - 0.5, mfc, cmap="PuOr_r", vmin=-limit, vmax=limit, rasterized=True)
middle.set(title="MFC: 20 coefficients of 128 mels", ylabel="coefficient", yticks=[0, 5, 10, 15])
figure.colorbar(image, ax=middle, label="coefficient (dB)", extend="both")
for axes in (left, middle, right):
    axes.set(xlabel="time (s)", xlim=(0, len(waveform) / rate))
figure.savefig(HERE / "spectra.png", dpi=110)
