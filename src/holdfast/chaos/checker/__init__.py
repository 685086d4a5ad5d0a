"""The checker of a chaos run: a pure function from a sealed history to a verdict."""

from holdfast.chaos.checker.bank import check_bank
from holdfast.chaos.checker.check import LOG_RULES, Options, check
from holdfast.chaos.checker.finished import PartitionEnd, check_finished
from holdfast.chaos.checker.fold import Fold, Input, Output, check_fold, check_fold_of
from holdfast.chaos.checker.invariants import Evaluated, PythonInvariant, SqlInvariant, check_invariants
from holdfast.chaos.checker.rules import RULES, Rule
from holdfast.chaos.checker.verdict import Act, Example, Finding, Record, Validity, Verdict, merged

__all__ = [
    "LOG_RULES",
    "RULES",
    "Act",
    "Evaluated",
    "Example",
    "Finding",
    "Fold",
    "Input",
    "Options",
    "Output",
    "PartitionEnd",
    "PythonInvariant",
    "Record",
    "Rule",
    "SqlInvariant",
    "Validity",
    "Verdict",
    "check",
    "check_bank",
    "check_finished",
    "check_fold",
    "check_fold_of",
    "check_invariants",
    "merged",
]
