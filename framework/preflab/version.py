"""The version of preflab."""

__version__ = "0.1.0"
