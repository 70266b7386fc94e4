"""JUnit files that are not quite XML, or not in the encoding that they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci_bridge.formats import read_results
from ci_bridge.formats.collect import Collected
from ci_bridge.models import FileState, case_of_row

BODY = '<testsuite name="s"><testcase name="größe"/><testcase name="b"><failure message="ü"/></testcase></testsuite>'


def read(tmp_path: Path, raw: bytes) -> Collected:
    (tmp_path / "r.xml").write_bytes(raw)
    return read_results(["r.xml"], workspace=tmp_path)


def names(results: Collected) -> list[str]:
    return [case_of_row(row).name for batch in results.rows() for row in batch]


@pytest.mark.parametrize(
    "raw",
    [
        BODY.encode(),
        b"\xef\xbb\xbf" + BODY.encode(),
        BODY.encode("utf-16"),
        ('<?xml version="1.0" encoding="utf-16"?>' + BODY).encode("utf-16"),
        b"\xff\xfe" + ('<?xml version="1.0" encoding="utf-16"?>' + BODY).encode("utf-16-le"),
        ('<?xml version="1.0" encoding="utf-16"?>' + BODY).encode("utf-16-be"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>' + BODY).encode("latin-1"),
        ('<?xml version="1.0" encoding="windows-1252"?>' + BODY).encode("cp1252"),
        b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + BODY.encode(),
    ],
)
def test_every_declared_encoding_is_read_as_it_is(tmp_path: Path, raw: bytes) -> None:
    results = read(tmp_path, raw)
    assert names(results) == ["größe", "b"]
    assert results.failures[0].message == "ü"
    assert results.files[0].state is FileState.READ


@pytest.mark.parametrize(
    "raw",
    [
        b"\n  \n" + ('<?xml version="1.0"?>' + BODY).encode(),
        b"Running tests...\n" + ('<?xml version="1.0"?>' + BODY).encode(),
        BODY.encode("cp1252"),
        ('<?xml version="1.0" encoding="utf-8"?>' + BODY).encode("latin-1"),
        ('<?xml version="1.0" encoding="UTF-16"?>' + BODY).encode(),
        ('<?xml version="1.0" encoding="no-such-thing"?>' + BODY).encode(),
        BODY.encode("utf-32"),
        (BODY + '<?xml version="1.0"?>\n').encode(),
        (BODY + "some trailing text & more < 3").encode(),
        BODY.replace(
            "</testsuite>", "<system-out>\x1b[31mred\x1b[0m \x00 &#x1b; &nbsp; & a < b</system-out></testsuite>"
        ).encode(),
    ],
)
def test_flaws_of_the_wrapping_are_repaired_without_loss(tmp_path: Path, raw: bytes) -> None:
    results = read(tmp_path, raw)
    assert names(results) == ["größe", "b"]
    assert results.failures[0].message == "ü"
    (file,) = results.files
    assert (file.state, file.incomplete, file.cases) == (FileState.RECOVERED, False, 2)
    assert file.note.startswith("recovered all 2 cases: ")


def test_several_roots_are_one_run(tmp_path: Path) -> None:
    roots = "".join(
        f'<?xml version="1.0"?><!DOCTYPE testsuite><testsuite name="s{n}"><testcase name="t{n}"/></testsuite>\n'
        for n in range(3)
    )
    results = read(tmp_path, roots.encode())
    assert names(results) == ["t0", "t1", "t2"]
    assert not results.files[0].incomplete


def test_raw_control_characters_and_references_to_them_become_visible(tmp_path: Path) -> None:
    document = (
        '<testsuite name="s"><testcase name="a&#x1b;b"/><testcase name="c\x01d"><failure message="&#0;x">'
        "\x1b[31mred\x1b[0m &#x1b;[1m</failure></testcase><testcase name='e'/></testsuite>"
    )
    results = read(tmp_path, document.encode())
    assert names(results) == ["a␛b", "c␁d", "e"]
    (case,) = results.failures
    assert case.message == "␀x"
    assert "red" in case.details
    assert "\x1b" not in case.details
    assert results.files[0].state is FileState.RECOVERED


def test_html_entities_and_bare_ampersands_are_understood(tmp_path: Path) -> None:
    results = read(
        tmp_path, b'<testsuite name="s"><testcase name="a &nbsp;&amp; b & c &uuml;&bogus; &#65;"/></testsuite>'
    )
    assert names(results) == ["a \xa0& b & c ü&bogus; A"]


def test_a_bare_angle_bracket_in_an_attribute_is_understood(tmp_path: Path) -> None:
    results = read(tmp_path, b'<testsuite name="s"><testcase name="<lambda> 1 < 2"/><testcase name="b"/></testsuite>')
    assert names(results) == ["<lambda> 1 < 2", "b"]
    assert not results.files[0].incomplete


def test_cdata_is_left_alone_by_the_repair(tmp_path: Path) -> None:
    results = read(
        tmp_path,
        b'<testsuite name="s"><testcase name="a"><failure><![CDATA[&amp; <b> & &#x1b; \x07]]></failure></testcase>'
        b"</testsuite>",
    )
    assert results.failures[0].details == "&amp; <b> & &#x1b; ␇"


def test_a_truncated_file_yields_its_whole_cases_and_is_incomplete(tmp_path: Path) -> None:
    whole = "".join(f'<testcase name="t{n}" classname="c"/>\n' for n in range(90))
    for tail in ("", "<testc", '<testcase name="cut"', '<testcase name="cut">', '<testcase name="cut"><failure mess'):
        results = read(tmp_path, f'<testsuites><testsuite name="s">{whole}{tail}'.encode())
        (file,) = results.files
        assert (file.state, file.cases, file.incomplete) == (FileState.RECOVERED, 90, True), tail
        assert results.totals.passed == 90
        assert file.note.startswith("recovered 90 cases, more may be missing: malformed XML")


def test_a_case_whose_end_was_cut_off_is_not_counted_as_passed(tmp_path: Path) -> None:
    results = read(tmp_path, b'<testsuite name="s"><testcase name="a"/><testcase name="b"><system-out>then it cra')
    assert names(results) == ["a"]


def test_a_file_cut_before_its_first_case_is_unreadable(tmp_path: Path) -> None:
    results = read(tmp_path, b'<?xml version="1.0"?><testsuites><testsuite name="s" te')
    assert results.files[0].state is FileState.UNREADABLE
    assert results.files[0].incomplete


def test_broken_markup_in_the_middle_loses_no_case_around_it_and_is_incomplete(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    document = (
        '<testsuite name="s"><testcase name="a"/><testcase name="b"><failure>x</error></testcase>'
        '<testcase name="c"/><testcase name="d"><failure message="no"/></testcase></testsuite>'
    )
    results = read(tmp_path, document.encode())
    assert {"a", "c", "d"} <= set(names(results))
    assert "d" in {case.name for case in results.failures}
    assert results.files[0].incomplete


def test_without_lxml_the_cases_before_broken_markup_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lxml", None)
    document = '<testsuite name="s"><testcase name="a"/><testcase name="b"><failure>x</error></testcase></testsuite>'
    results = read(tmp_path, document.encode())
    assert names(results) == ["a"]
    assert results.files[0].incomplete


def test_the_repair_gives_each_case_once_even_if_the_flaw_is_far_into_the_file(tmp_path: Path) -> None:
    before = "".join(
        f'<testcase name="t{n}" time="1">{"<failure/>" if n % 7 == 0 else ""}</testcase>' for n in range(9000)
    )
    document = f'<testsuite name="s">{before}<testcase name="last"><failure message="\x02"/></testcase></testsuite>'
    results = read(tmp_path, document.encode())
    (file,) = results.files
    assert (file.cases, file.incomplete) == (9001, False)
    assert results.totals.total == 9001
    assert results.totals.flaky == 0
