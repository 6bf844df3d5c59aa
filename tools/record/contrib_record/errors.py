"""What is raised instead of a recording that would be wrong."""


class Refused(Exception):
    """The model does something that a recording cannot say, or the tool does not know. The message says what."""
