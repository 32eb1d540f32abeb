"""Extension points: a dict from name to builder beside its protocol, and an entry-point group for other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from xmatch.errors import UsageError, XmatchError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class ExtensionPoint(Generic[T]):
    """Builders by name: those of xmatch, and those that installed packages declare. Ours win where names collide."""

    what: str
    """In the singular, for messages: "matcher"."""
    builtin: Mapping[str, Callable[..., T]]
    group: str
    """Of entry points, each of which names a callable with the arguments of the built-in ones."""

    def names(self) -> tuple[str, ...]:
        """The built-in ones, then those of plug-ins."""
        return (*self.builtin, *(name for name in self._plugins() if name not in self.builtin))

    def builder(self, name: str) -> Callable[..., T]:
        """
        Raises:
            UsageError: no such name, or the plug-in that brings it cannot be imported.
        """
        if name in self.builtin:
            return self.builtin[name]
        plugins = self._plugins()
        if name not in plugins:
            known = ", ".join([*self.builtin, *plugins])
            raise UsageError(f"there is no {self.what} {name!r}", hint=f"known: {known}")
        try:
            builder: Callable[..., T] = plugins[name].load()
        except Exception as error:
            raise self._broken(plugins[name], error) from error
        return builder

    def build(self, name: str, *arguments: object) -> T:
        """What the builder makes of the arguments.

        Raises:
            UsageError: see `builder`; or a plug-in raised what is no error of ours.
        """
        builder = self.builder(name)
        if name in self.builtin:
            return builder(*arguments)
        try:
            return builder(*arguments)
        except XmatchError:
            raise
        except Exception as error:
            raise self._broken(self._plugins()[name], error) from error

    def _broken(self, plugin: EntryPoint, error: Exception) -> UsageError:
        return UsageError(
            f"{self.what} {plugin.name!r} of the plug-in {plugin.value} cannot be used: {error}",
            hint=f"reinstall the package that brings it, or leave this {self.what} out",
        )

    def _plugins(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.group)}
