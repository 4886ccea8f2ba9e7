"""Runs: the records of each model of the grid, how they are made by papermill on Dask, and how they are read."""
