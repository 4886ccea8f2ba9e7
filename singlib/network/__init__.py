"""The SING network: its parts, its weights, the three stages of its training, and the notes it plays."""
