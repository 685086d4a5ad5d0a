"""What the entries of a topology are told by its structure."""

from __future__ import annotations

# Given by the file's structure, not by the user: no key of a file can be spelled like these.
APP, NAME, SOURCE = "<app>", "<name>", "<source>"
