"""Runs: training a cell, its folder, the records of a profile, models to play, and the grid on a cluster."""
