"""What is raised instead of a recording that would be wrong."""

from .._errors import Refused

__all__ = ["Refused"]
