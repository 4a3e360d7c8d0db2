"""One exception tree. A message says what was found, what was expected, and what to type next.

`VisrecError` is everything that the user's input can cause; the command line turns it into one line on
stderr and exit status 2. Anything else that escapes is a bug of ours (exit status 1).
"""


class VisrecError(Exception):
    """Base of all errors that visrec raises on purpose."""


class DataError(VisrecError):
    """A data set, a file of it or an id in it is not what it should be."""


class UnknownIdError(DataError):
    """There is no user or item of this id."""


class ImageError(DataError):
    """One image cannot be decoded (truncated, too large, not an image).

    Attributes:
        kind: which of these: "unreadable" (no file, not allowed, not a file), "empty", "other-type", "damaged",
            "oversized".
    """

    def __init__(self, message: str, *, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


class FeaturesError(VisrecError):
    """Features cannot be made, read, or used with this catalogue."""


class ConfigError(VisrecError):
    """A setting, an experiment file or a name given by the user is not valid."""


class NotFittedError(VisrecError):
    """A model was asked for something before `fit` or `load_model`."""


class UnsupportedError(VisrecError):
    """A model was asked for something that it cannot do by its nature."""


class DivergedError(VisrecError):
    """Training produced numbers that are not finite."""


class RunError(VisrecError):
    """A run folder cannot be used as asked (another experiment, incomplete, damaged)."""


class FeedbackError(VisrecError):
    """Feedback (an event, a shown list, a study) or the database of it is not what it should be."""


class ConflictingEventError(FeedbackError):
    """An id was given that another event, or another shown list, has already."""


class UnavailableError(FeedbackError):
    """The database cannot be reached, or did not answer in time. What was to be written may be tried again."""
