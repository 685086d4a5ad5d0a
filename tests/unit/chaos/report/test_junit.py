"""JUnit XML and JSON, for CI servers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from holdfast.chaos.report import files_of, junit_of, summary_of
from holdfast.chaos.report.junit import ITSELF
from tests.support.chaos_runs import empty_run, hostile_run, invalid_run, tiny_run, unknown_run, valid_run

# What the schema of Jenkins' xUnit plugin (junit-10.xsd) allows of what is written here: attributes, those
# that have to be there, and children.
ALLOWED: Mapping[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
        {"name", "tests", "failures", "errors"},
        {"properties", "testcase"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set()),
    "testcase": ({"name", "classname", "time"}, {"name"}, {"failure", "error", "system-out"}),
    "failure": ({"type", "message"}, set(), set()),
    "error": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
}
RUNS = (valid_run, invalid_run, unknown_run, tiny_run, empty_run, hostile_run)


def cases(text: str) -> dict[str, ElementTree.Element]:
    return {it.get("name", ""): it for it in ElementTree.fromstring(text).iter("testcase")}


@pytest.mark.parametrize("make", RUNS)
def test_it_is_what_the_schema_allows(make: object) -> None:
    assert callable(make)
    root = ElementTree.fromstring(junit_of(make()))
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, required, children = ALLOWED[element.tag]
        assert required <= set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])


@pytest.mark.parametrize("make", RUNS)
def test_the_numbers_are_those_of_the_cases_and_a_case_has_one_outcome(make: object) -> None:
    assert callable(make)
    root = ElementTree.fromstring(junit_of(make()))
    (suite,) = root
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(suite.findall("testcase"))
        assert int(element.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(element.attrib["errors"]) == len(suite.findall("testcase/error"))
    assert all(len(case.findall("failure") + case.findall("error")) <= 1 for case in suite.iter("testcase"))


def test_there_is_a_case_for_each_invariant_and_one_for_the_run() -> None:
    run = valid_run()
    found = cases(junit_of(run))
    assert list(found) == [ITSELF, *(it.name for it in run.invariants)]
    assert not [case for case in found.values() if case.find("failure") or case.find("error")]


def test_a_failure_has_its_examples_and_a_run_its_seed() -> None:
    text = junit_of(invalid_run())
    failure = cases(text)["exactly-once"].find("failure")
    assert failure is not None
    assert failure.get("message") == "3 lost writes; 12 duplicates"
    assert 'input/2 offset 81,204 key "k-17"' in (failure.text or "")
    assert "and 11 more" in (failure.text or "")
    properties = {it.get("name"): it.get("value") for it in ElementTree.fromstring(text).iter("property")}
    assert properties["seed"] == "2"
    assert properties["command"] == "holdfast chaos run chaos/random-mix.yaml --seed 2"


def test_what_is_allowed_is_told_and_fails_nothing() -> None:
    case = cases(junit_of(invalid_run()))["no-lost-writes"]
    failure, told = case.find("failure"), case.find("system-out")
    assert failure is not None
    assert "unseen" not in (failure.text or "")
    assert told is not None
    assert "12 unseen writes (valid: their acknowledgement" in (told.text or "")


def test_what_nobody_can_tell_does_not_pass() -> None:
    found = cases(junit_of(unknown_run()))
    error, trouble = found["transactions-finished"].find("error"), found[ITSELF].find("error")
    assert error is not None
    assert (error.get("type"), error.get("message")) == ("unknown", "1 case of open-transaction")
    assert trouble is not None
    assert "broker 2 is not the leader" in (trouble.text or "")


@pytest.mark.parametrize(
    ("change", "told"),
    [({"evidence": {}}, "nothing shows that it happened"), ({"ended": None}, "not undone")],
)
def test_a_fault_that_shows_nothing_does_not_pass(change: dict[str, Any], told: str) -> None:
    run = valid_run()
    run = replace(run, faults=(replace(run.faults[0], **change), *run.faults[1:]))
    error = cases(junit_of(run))[ITSELF].find("error")
    assert error is not None
    assert told in (error.text or "")


def test_a_run_without_invariants_does_not_pass() -> None:
    assert cases(junit_of(empty_run()))[ITSELF].find("error") is not None
    assert cases(junit_of(replace(empty_run(), trouble=())))[ITSELF].find("error") is not None


def test_the_summary_for_programs_has_verdict_claims_and_recovery() -> None:
    found = summary_of(invalid_run())
    assert (found["validity"], found["verdict"]) == ("invalid", "INVALID: 3 lost writes and 12 duplicates")
    claims = {it["name"]: (it["validity"], it["violations"]) for it in found["invariants"]}
    assert claims["exactly-once"] == ("invalid", 15)
    assert claims["no-lost-writes"] == ("invalid", 3)
    assert found["recovery"][0]["kind"] == "worker.kill"
    assert set(found["recovery"][0]["back_to_normal_s"]) == {"count", "p50", "p95", "longest"}


def test_all_files_of_a_run_are_text_that_can_be_written() -> None:
    files = files_of(hostile_run())
    assert set(files) == {"report.html", "junit.xml", "summary.json"}
    assert all(text.encode() for text in files.values())
    assert json.loads(files["summary.json"])["validity"] == "invalid"
