"""Event contracts: base class, codecs and evolution."""
