"""The declaration: model, strict load, checks, plan and apply."""
