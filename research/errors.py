"""The one exception whose message is meant for the person at the terminal."""


class UserError(Exception):
    """Bad input. The message is one line: it names the key, or file and line number, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """
