"""Downstream systems that processors write to.

`holdfast.sinks.base` says what a sink is, and is all that one's own needs. Each sink has a module of its own,
which imports the client of its system: an extra of the distribution.
"""
