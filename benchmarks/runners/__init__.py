"""One program per engine, started as a subprocess; `common` holds what they all speak."""
