"""A run as JUnit XML, for CI servers: a test case for each invariant, and one for the run itself.

There is no standard. This is what all of Jenkins (junit-10.xsd of its xUnit plugin), GitLab ("Unit test
reports") and the actions for GitHub read: `testsuites/testsuite/testcase`, with one `failure` or `error` in
a case at most (Jenkins keeps only one), and times with three decimals. What nobody can tell is an `error`:
it must not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from holdfast.chaos.report.markup import clean
from holdfast.chaos.report.verdict import noun_of, verdict_of
from holdfast.chaos.run.result import FoundProblem, InvariantResult, RunResult

ITSELF = "the run itself"
"""The case that fails when the run went wrong, so that its invariants say too little."""


def junit_of(result: RunResult) -> str:
    """The file's text."""
    suite = ElementTree.Element("testsuite", name=clean(f"chaos.{result.experiment}"))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(result):
        ElementTree.SubElement(properties, "property", name=clean(name), value=clean(value))
    _add_itself(suite, result)
    for invariant in result.invariants:
        _add_invariant(suite, result, invariant)
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
    }
    time = f"{result.whole_s:.3f}"
    root = ElementTree.Element("testsuites", name="holdfast chaos", time=time)
    for name, count in counts.items():
        suite.set(name, str(count))
        root.set(name, str(count))
    suite.set("skipped", "0")
    suite.set("time", time)
    # The schema of Ant takes no zone and no fractions, and all others take this.
    suite.set("timestamp", clean(result.began)[:19])
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _properties(result: RunResult) -> list[tuple[str, str]]:
    return [
        ("seed", str(result.seed)),
        ("verdict", verdict_of(result).headline),
        ("experiment", result.file),
        ("command", result.command),
        ("machine", result.machine),
        *((f"version.{name}", str(value)) for name, value in result.versions.items()),
        *((f"count.{name}", str(value)) for name, value in result.counts.items()),
    ]


def _case(suite: ElementTree.Element, result: RunResult, name: str, seconds: float) -> ElementTree.Element:
    where = clean(f"chaos.{result.experiment}")
    return ElementTree.SubElement(suite, "testcase", classname=where, name=clean(name), time=f"{seconds:.3f}")


def _add_itself(suite: ElementTree.Element, result: RunResult) -> None:
    # The whole time is its own: an invariant is looked at in none that could be told apart.
    case = _case(suite, result, ITSELF, result.whole_s)
    wrong = list(result.went_wrong)
    if not result.invariants:
        wrong.append("no invariant was looked at")
    if wrong:
        _outcome(case, "error", wrong[0], "trouble", wrong)


def _add_invariant(suite: ElementTree.Element, result: RunResult, invariant: InvariantResult) -> None:
    case = _case(suite, result, invariant.name, 0.0)
    if invariant.validity != "valid":
        wrong = [problem for problem in invariant.problems if problem.validity == invariant.validity]
        told = "; ".join(map(noun_of, wrong)) or f"{invariant.name} is {invariant.validity}"
        kind = "failure" if invariant.validity == "invalid" else "error"
        _outcome(case, kind, told, invariant.validity, [line for it in wrong for line in _lines(it)])
    lines = [
        invariant.looked_at,
        *(noun_of(it) + f" ({it.validity}: {it.why})" for it in _allowed(invariant)),
    ]
    if any(lines):
        ElementTree.SubElement(case, "system-out").text = clean("\n".join(filter(None, lines)))


def _allowed(invariant: InvariantResult) -> list[FoundProblem]:
    return [
        problem for problem in invariant.problems if problem.validity != invariant.validity or _fine(problem)
    ]


def _fine(problem: FoundProblem) -> bool:
    return problem.validity == "valid"


def _lines(problem: FoundProblem) -> list[str]:
    more = problem.count - len(problem.examples)
    why = [f"  {problem.why}"] if problem.why else []
    rest = [f"  and {more:,} more"] if more > 0 and problem.examples else []
    return [noun_of(problem), *why, *(f"  {example}" for example in problem.examples), *rest]


def _outcome(case: ElementTree.Element, kind: str, message: str, type_: str, lines: Sequence[str]) -> None:
    found = ElementTree.SubElement(case, kind, message=clean(message), type=type_)
    found.text = clean("\n".join(lines))
