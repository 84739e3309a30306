"""The one exception that means: the input is wrong, and this sentence says how to mend it."""


class InputError(ValueError):
    """An input (file, folder, parameter, device) that cannot be used.

    ``str(error)`` is one sentence a user can act on. The ``mobile_vla`` command prints it on one
    line and exits with status 2; a node logs it and fails to configure. Rooms derive their own
    errors from it (``CheckpointError``, ``EpisodeError``); a bug never is one.
    """
