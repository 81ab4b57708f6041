"""preflab: the InstructGPT experiment bench."""

from preflab.errors import NumericError, PluginError, PreflabError, StorageError, UserError
from preflab.hookspecs import hookimpl
from preflab.interfaces import Component, Inspection
from preflab.schemas import option

__version__ = "0.1.0"

__all__ = ["Component", "Inspection", "NumericError", "PluginError", "PreflabError", "StorageError", "UserError", "hookimpl", "option"]
