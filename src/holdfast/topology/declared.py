"""What all declarations have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# Given by the file's structure, not by the user: no key of a file can be spelled like these.
APP, NAME, SOURCE = "<app>", "<name>", "<source>"


class Declared(BaseModel):
    """Base of all declarations: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
