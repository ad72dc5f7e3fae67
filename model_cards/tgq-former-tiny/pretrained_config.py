"""Base class of all configurations: reads folders safely and checks fields."""

from dataclasses import fields
from typing import Any, ClassVar

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING


class CheckedConfig(PreTrainedConfig):
    """A configuration that refuses folders of other models and explains bad values.

    Subclasses may set:

    - `readable_model_types`: other model types whose folders contain all the weights of this one.
    - `values_before`: values of fields that a saved configuration lacks. A field added later is listed here if its
      default would change the outputs of older checkpoints.
    """

    readable_model_types: ClassVar[tuple[str, ...]] = ()
    values_before: ClassVar[dict[str, Any]] = {}

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        """Read the configuration of a folder.

        Raises:
            ValueError: The folder holds another model.
        """
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if not cls.__module__.startswith("transformers_modules"):
            # `auto_map` names code in that folder. The installed class does not use it, and a copy saved elsewhere
            # would name files that do not exist.
            config_dict.pop("auto_map", None)
        found = config_dict.get("model_type", cls.model_type)
        if found == cls.model_type:
            return config_dict, kwargs
        if found not in cls.readable_model_types:
            raise ValueError(
                f"'{pretrained_model_name_or_path}' holds a '{found}' checkpoint; "
                f"a '{cls.model_type}' one cannot be read from it."
            )
        kept = {field.name for field in fields(cls)} - {"architectures"}
        return {key: config_dict[key] for key in config_dict if key in kept} | {"model_type": cls.model_type}, kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Build the configuration from the dictionary of a saved one."""
        config_dict = {**cls.values_before, **config_dict}
        for name in cls.sub_configs:
            part = config_dict.get(name)
            if isinstance(part, dict) and part.get("model_type") in CONFIG_MAPPING:
                values_before = getattr(CONFIG_MAPPING[part["model_type"]], "values_before", {})
                config_dict[name] = {**values_before, **part}
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def check_field_names(cls, names) -> None:
        """Check that all `names` are fields.

        Raises:
            TypeError: A name is not a field.
        """
        unknown = set(names) - {field.name for field in fields(cls)}
        if unknown:
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}.")

    def check_at_least(self, minimum: int, *names: str) -> None:
        """Check that the fields `names` are not below `minimum`.

        Raises:
            ValueError: A field is below it.
        """
        for name in names:
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}.")

    def check_share(self, name: str) -> None:
        """Check that the field `name` lies in [0, 1).

        Raises:
            ValueError: The value is outside this range.
        """
        if not 0.0 <= getattr(self, name) < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}.")
