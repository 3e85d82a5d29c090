"""`python -m proofs`: selection, formats, errors and exit status."""

from __future__ import annotations

import base64
import html.parser
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from proofs import __main__ as command
from proofs import figures, ledger
from proofs.claim import claim
from proofs.evidence import Case
from proofs.verdict import TRUE

QUICK = ("--only", "KL-05", "--only", "KL-06")


@pytest.fixture
def broken():
    """A claim that is stated TRUE and computes FALSE."""

    @claim("KL-99", source="000 §1", statement="Wrong | on purpose <b>.", formula="1 = 2", stated=TRUE, method="Q")
    def check(case: Case) -> None:
        case.claimed("Q", "1 equals 2", False, "1 < 2")

    yield "KL-99"
    del ledger.REGISTRY["KL-99"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = command.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_table_names_every_selected_claim_and_its_verdict(capsys, row):
    status, out, err = run(capsys, *QUICK)
    row.exact("proofs-cli", "exit status", status == 0, err)
    wanted = ("KL-05", "KL-06", "FALSE", "TRUE IF d is an", "Q+P", "9/50", "2 claims, 2 verdicts as stated")
    missing = [word for word in wanted if word not in out]
    row.exact("proofs-cli", "table", not missing, f"{missing} not in {out}")
    row.exact("proofs-cli", "progress", "KL-05  FALSE" in err and "KL-06" in err, err)
    row.exact("proofs-cli", "quiet", run(capsys, "--quiet", *QUICK)[2] == "", "progress although --quiet")


def test_json_has_one_valid_record_for_each_id(capsys, row):
    status, out, _ = run(capsys, "--format", "json", *QUICK)
    records = json.loads(out)
    row.exact("proofs-cli", "json ids", [r["id"] for r in records] == ["KL-05", "KL-06"] and status == 0, out)
    first = records[0]
    fields = {
        "sources",
        "statement",
        "formula",
        "stated",
        "computed",
        "agrees",
        "method",
        "rigorous",
        "witness",
        "seconds",
    }
    row.exact("proofs-cli", "json fields", fields <= set(first), f"missing {fields - set(first)}")
    row.exact("proofs-cli", "json verdict", first["computed"][""]["verdict"] == "FALSE" and first["agrees"], str(first))
    row.exact("proofs-cli", "json evidence", all(e["holds"] in (True, False) for e in first["evidence"]), str(first))


def test_markdown_is_one_table(capsys, broken, row):
    _, out, _ = run(capsys, "--format", "md", "--only", "KL-05", "--only", broken)
    lines = [line for line in out.splitlines() if line.startswith("|")]
    pipes = {line.replace("\\|", "").count("|") for line in lines}
    row.exact("proofs-cli", "markdown columns", pipes == {7} and len(lines) == 4, out)


class _Links(html.parser.HTMLParser):
    """Collects what a page would fetch, and checks that its tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset") and value]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"


def test_html_stands_alone_and_escapes(capsys, broken, tmp_path, row):
    target = tmp_path / "ledger.html"
    status, out, err = run(capsys, "--format", "html", "--only", "KL-05", "--only", broken, "--output", str(target))
    text = target.read_text(encoding="utf-8")
    page = _Links()
    page.feed(text)
    external = [link for link in page.links if not link.startswith(("data:", "#"))]
    row.exact(
        "proofs-cli", "html requests", not external and "url(" not in text and "@import" not in text, str(external)
    )
    row.exact("proofs-cli", "html balanced", not page.open, str(page.open))
    row.exact("proofs-cli", "html escapes", "<b>." not in text and "&lt;b&gt;." in text, "a statement became markup")
    row.exact(
        "proofs-cli", "html status", status == 1 and out == "" and f"wrote {target}" in err, f"{status} {out} {err}"
    )


def test_every_chapter_opens_with_a_figure_that_carries_its_own_data(row):
    for chapter in ledger.CHAPTERS:
        identifier = figures.CHAPTERS.get(chapter, "")
        opens = identifier.startswith(chapter) and figures.figure(identifier) is not None
        row.exact(
            "proofs-cli", "figure of a chapter", opens, f"chapter {chapter} opens with {identifier or 'no figure'}"
        )
    for identifier, picture in figures.figures().items():
        row.exact("proofs-cli", "figure of a claim", ledger.find(identifier).id == identifier, f"no claim {identifier}")
        address = figures.svg(identifier)
        drawing = base64.b64decode(address.removeprefix("data:image/svg+xml;base64,"))
        tree = ElementTree.fromstring(drawing)
        curves = [node for node in tree.iter() if node.get("id", "").startswith(("line2d", "PathCollection", "patch"))]
        row.exact("proofs-cli", "figure drawn", len(curves) > 2 and len(picture.caption) > 40, f"{identifier} is empty")
        linked = [value for node in tree.iter() for name, value in node.attrib.items() if name.endswith("href")]
        alone = all(value.startswith("#") for value in linked)
        row.exact("proofs-cli", "figure asks for nothing", alone, f"{identifier} refers to {linked}")


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_show_draws_the_figure_of_a_claim(capsys, tmp_path, suffix, row):
    target = tmp_path / f"figure{suffix}"
    status, out, err = run(capsys, "--quiet", "show", "GUM-03", "--figure", str(target))
    starts = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}[suffix]
    drawn = status == 0 and target.read_bytes().startswith(starts) and f"wrote {target}" in err
    row.exact("proofs-cli", "figure file", drawn and "Figure" in out, f"{status} {err}")
    again = tmp_path / f"again{suffix}"
    run(capsys, "--quiet", "show", "GUM-03", "--figure", str(again))
    row.exact("proofs-cli", "figure twice", target.read_bytes() == again.read_bytes(), "the same figure, another file")


def test_a_disagreement_is_told_and_fails(capsys, broken, row):
    status, out, err = run(capsys, "--only", broken)
    row.exact("proofs-cli", "status of a disagreement", status == 1, f"exit status {status}")
    told = "stated TRUE, computed FALSE" in err and "DISAGREES" in out and "1 disagreements" in out
    row.exact("proofs-cli", "disagreement told", told, out + err)


def test_show_is_a_page_that_can_be_followed(capsys, row):
    status, out, _ = run(capsys, "--quiet", "show", "kl-05")
    headings = ("Statement", "As a formula", "Source", "Verdict, computed", "Derivation", "What is true", "9/50", "1/2")
    missing = [word for word in headings if word not in out]
    row.exact("proofs-cli", "page", status == 0 and not missing, f"{missing} not in {out}")
    widest = max(len(line) for line in out.splitlines())
    row("proofs-cli", "columns of the page", widest, 100, "a page is wrapped to 100 columns")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "JS-55"), "there is no claim 'JS-55'; the nearest ids are JS-"),
        (("--only", "XYZ"), "the ledger has KL-01 to KL-11"),
        (("--only", "JS5"), "the nearest ids are JS-"),
        (("--only", ""), "no claim's id is or begins with ''"),
        (("--source", "007"), "there is no source '007'; expected one of 000"),
        (("--only", "GUM", "--source", "000"), "no claim among GUM judges source 000"),
        (("show", "KL-01", "--figure", "a.svg"), "KL-01 has no figure; these have one: "),
        (("show", "GUM-03", "--figure", "a.gif"), "expected a name that ends in .svg, .png, .pdf"),
        (("show", "GUM-03", "--figure", "no/such/a.svg"), "does not exist; create it first"),
        (("--output", "/"), "is a directory; name a file"),
        (("--output", "no/such/folder/ledger.md"), "does not exist; create it first"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(capsys, arguments, message, row):
    status, out, err = run(capsys, *arguments)
    row.exact("proofs-cli", "usage errors", status == 2 and out == "", f"exit status {status}, printed {out!r}")
    row.exact(
        "proofs-cli", "usage message", message in err and err.count("\n") == 1, f"expected {message!r}, saw {err!r}"
    )


def test_sources_select(row):
    judged = {claim_.id for claim_ in ledger.select(source="002")}
    row.exact("proofs-cli", "source 002", {"JS-01", "JS-12", "KL-08"} <= judged and "KL-01" not in judged, str(judged))
    row.exact("proofs-cli", "source in any case", ledger.select(source="roer") == ledger.select(source="ROER"), "")


def test_a_failed_write_leaves_the_old_file(capsys, tmp_path, monkeypatch, row):
    target = tmp_path / "ledger.json"
    target.write_text("old", encoding="utf-8")

    def refuse(*_):
        raise OSError(28, "no space left on the device")

    monkeypatch.setattr(command.os, "replace", refuse)
    status, _, err = run(capsys, *QUICK, "--quiet", "--format", "json", "--output", str(target))
    row.exact("proofs-cli", "failed write told", status == 2 and "no space" in err, f"{status}: {err}")
    names = [path.name for path in tmp_path.iterdir()]
    row.exact(
        "proofs-cli",
        "atomic write",
        target.read_text(encoding="utf-8") == "old" and names == ["ledger.json"],
        str(names),
    )


def test_a_missing_package_is_named_with_its_remedy(capsys, monkeypatch, row):
    found = command.importlib.util.find_spec
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None if name == "flint" else found(name))
    status, _, err = run(capsys, *QUICK)
    told = status == 2 and "python-flint" in err and 'pip install "roer[proofs]"' in err
    row.exact("proofs-cli", "missing package", told, f"{status}: {err}")


def test_the_module_runs_as_a_program_without_jax(row):
    """In a process of its own, with warnings as errors and JAX made impossible to import."""
    script = (
        "import sys; sys.modules['jax'] = None; from proofs.__main__ import main; "
        "sys.exit(main(['--quiet', '--only', 'KL-05', '--format', 'json']))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    row.exact("proofs-cli", "own process", done.returncode == 0 and json.loads(done.stdout)[0]["agrees"], done.stderr)


def test_help_teaches(capsys, row):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    out = capsys.readouterr().out
    words = ("TRUE IF", "two-sided certificate", "examples", "exit status", "--only", "--source", "show JS-05")
    missing = [word for word in words if word not in out]
    row.exact("proofs-cli", "help", not missing, f"{missing} not explained")
