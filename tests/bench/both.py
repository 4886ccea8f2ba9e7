"""Both sides in one process, where they share the C library's setting for freed memory."""

import plain


class Both:
    """Our training and the plain reading of it, with freed memory kept for the next step or with the defaults."""

    def __init__(self, keep, *size):
        import ours

        self.mine, self.theirs = ours.Training(*size, keep=keep), plain.Training(*size)

    def step(self, side, stage):
        getattr(self, side).step(stage)
