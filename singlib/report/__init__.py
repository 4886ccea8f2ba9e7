"""Figures, tables and claims as pages: what a report shows, and how it is written."""
