"""The systems that a benchmark compares, and the ablations of its main system."""

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class System:
    """One row of a report.

    Attributes:
        name: name of its run folders and table rows.
        sentence: one sentence for the report.
        trained: False scores the model as it is initialized.
    """

    name: str
    sentence: str
    trained: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class SystemList:
    """All systems of a benchmark.

    Attributes:
        compared: the systems that `--systems all` trains.
        ablations: variants of the main system; they learn at its selected rate.
        ours: name of the main system, which every other system is compared with.
        full: name of the system that ablations are compared with.
    """

    compared: tuple[System, ...]
    ablations: tuple[System, ...]
    ours: str
    full: str

    @cached_property
    def by_name(self) -> dict[str, System]:
        """Every system and ablation by name."""
        return {system.name: system for system in (*self.compared, *self.ablations)}

    def select(self, text: str) -> list[str]:
        """Parse the value of `--systems`: names, `all` and `ablations`, separated by commas.

        Raises:
            ValueError: if a name is unknown.
        """
        groups = {"all": self.compared, "ablations": self.ablations}
        names: list[str] = []
        for name in text.split(","):
            names += [system.name for system in groups[name]] if name in groups else [name]
        for name in names:
            if name not in self.by_name:
                raise ValueError(f"--systems: unknown system {name!r}; known are {', '.join(self.by_name)}.")
        return list(dict.fromkeys(names))

    def rate_source(self, name: str) -> str:
        """Return the system whose learning-rate grid decides the rate of `name`."""
        return self.ours if self.by_name[name] in self.ablations else name
