"""How long faults stop the committed output, and whether the data is right then; see docs/recovery.md."""
