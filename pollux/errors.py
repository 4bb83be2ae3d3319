# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on the user's side.

The message is one line: what is wrong, and how to mend it.
"""


class PolluxError(Exception):
    """Printed by the command line as `pollux: <message>`, exit code 1."""


class InputError(PolluxError):
    """A file, directory or question that cannot be used."""


class ReadingError(PolluxError):
    """A reading that is broken, is being written, or was made by other weights."""


class WeightsError(PolluxError):
    """Weights that are missing, damaged or of another shape."""


class BusyError(PolluxError):
    """Too much is asked at once."""


class SpaceError(PolluxError):
    """The disk or the memory does not suffice."""


class RecipeError(PolluxError):
    """A training recipe, an override of it, or its data."""
