"""The one exception for a user's mistake."""


class UserError(Exception):
    """Something the user can mend: a wrong key, a missing package, an unreadable file.

    ``main.py`` prints the message without a traceback and ends with exit status 2. The message says
    what was wrong, what was given and how to mend it. Bugs raise anything else and keep their traceback.
    """
