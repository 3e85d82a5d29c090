"""Errors that the person at the terminal can act on: the command line prints their message without a traceback."""


class DeepError(Exception):
    """Base of the errors below; the message says what was expected, what was seen, where, and what to do."""


class InvalidSetting(DeepError, ValueError):
    """A setting outside its range, or one that contradicts another."""


class InvalidEnvironment(DeepError, ValueError):
    """An environment that cannot be built or does not suit the learner."""


class NotCertified(DeepError):
    """No certificate covers what is about to run."""


class InvalidRun(DeepError):
    """A run folder that is missing, in use, already there, or not what it says."""


class CheckpointError(DeepError):
    """A checkpoint that cannot be written, read, or used with this configuration."""


class Diverged(DeepError):
    """A quantity became NaN or infinite during training; names the quantity and the step."""


class InvalidData(DeepError, ValueError):
    """Recorded transitions that cannot be read, or that do not belong to the environment."""
