"""What an `async` handler is given to ask a downstream system."""

from __future__ import annotations


class Client:
    """Asks one downstream system on behalf of one record.

    A handler that has a parameter of such a class, called like the system in topology.yaml, is given one for
    each record. Derive from it for a system of your own; see `holdfast.sinks.base.Downstream`.
    """

    __slots__ = ()
