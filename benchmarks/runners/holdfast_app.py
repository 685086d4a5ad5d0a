"""Holdfast on both jobs: to be filled in by the owner of the engine.

Keep the contract of `runners.common`: read `parse_settings()`, call `say_hello("holdfast", ...)`,
call `FirstRecord.report()` from the handler for the first record, work until SIGTERM. Then
let `_holdfast` in `benchmarks/engines.py` return the command.
"""
