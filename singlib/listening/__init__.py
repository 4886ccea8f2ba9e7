"""Sounds to listen to and to look at: players, spectrograms, a piano for a model, and a blind test."""
