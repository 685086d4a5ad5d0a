"""The checker of a chaos run: a pure function from a sealed history to a verdict."""

from holdfast.chaos.checker.check import Options, check
from holdfast.chaos.checker.rules import RULES, Rule
from holdfast.chaos.checker.verdict import Act, Example, Finding, Record, Validity, Verdict

__all__ = ["RULES", "Act", "Example", "Finding", "Options", "Record", "Rule", "Validity", "Verdict", "check"]
