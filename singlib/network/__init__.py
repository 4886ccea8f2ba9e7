"""The SING network: its parts, its weights on disk, and the notes it plays."""
