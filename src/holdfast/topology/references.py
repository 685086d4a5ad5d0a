"""From `module:name` to the object, with the application's folder on the import path."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType

from holdfast.declaration.source import did_you_mean
from holdfast.errors import HoldfastError, TopologyError
from holdfast.extras import with_extra


class BrokenModuleError(TopologyError):
    """A module of the application exists, but raises while it is imported."""


class References:
    """Finds the objects that a topology names.

    A module that raises is imported once; the error is the same for all of its objects.

    Attributes:
        folder: the application's folder; it stays on `sys.path`, first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._broken: dict[str, BrokenModuleError] = {}
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))

    def find(self, reference: str) -> object:
        """Return the object called `reference`.

        Raises:
            BrokenModuleError: its module raised while it was imported.
            TopologyError: there is no such module, or no such name in it.
        """
        module_name, _, name = reference.partition(":")
        module = self._module(module_name)
        try:
            return getattr(module, name)
        except AttributeError:
            near = did_you_mean(name, _own_names(module))
            where = self._shown(getattr(module, "__file__", None) or module_name)
            raise TopologyError(f'"{reference}": {where} has no name "{name}"{near}') from None

    def _module(self, name: str) -> ModuleType:
        if name in self._broken:
            raise self._broken[name]
        importlib.invalidate_caches()
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as error:  # the application's code may raise anything
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing and f"{name}.".startswith(f"{missing}."):
                raise TopologyError(self._no_module(missing)) from None
            self._broken[name] = BrokenModuleError(self._failure(name, error))
            raise self._broken[name] from error

    def _no_module(self, missing: str) -> str:
        parent, dot, last = missing.rpartition(".")
        near = did_you_mean(last, self._siblings(parent), parent + dot)
        return f'there is no module "{missing}" in {self.folder}{near}'

    def _siblings(self, parent: str) -> list[str]:
        path = getattr(sys.modules.get(parent), "__path__", ()) if parent else [str(self.folder)]
        return [module.name for module in pkgutil.iter_modules(path)]

    def _failure(self, name: str, error: BaseException) -> str:
        text = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError):
            text = f"{type(error).__name__}: {error.msg}"
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            package = str(error.name).partition(".")[0]
            hint = f"; {with_extra('faust') if package == 'faust' else 'install the package that has it'}"
        return f'importing "{name}" fails at {self._place(error)}: {text}{hint}'

    def _place(self, error: BaseException) -> str:
        """Return file and line of the application that the error came from."""
        if isinstance(error, SyntaxError) and error.filename:
            return f"{self._shown(error.filename)}:{error.lineno}"
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen")
            and frame.filename not in (__file__, importlib.__file__)
        ]
        ours = [frame for frame in frames if Path(frame.filename).is_relative_to(self.folder)]
        place = (ours or frames)[-1]
        return f"{self._shown(place.filename)}:{place.lineno}"

    def _shown(self, file: str) -> str:
        path = Path(file)
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)


def _own_names(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
