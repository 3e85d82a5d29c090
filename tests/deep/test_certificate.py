"""The gate: a certificate opens it for exactly what it names."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from deep import certificate, environments, runs, train
from deep.errors import NotCertified

ROWS = {"JS-04": {"quantity": "relaxed weights", "error": 1e-9, "bound": 1e-8, "reason": "test"}}


@pytest.fixture
def precision():
    return certificate.precision()


def other(precision: str) -> str:
    return "float32" if precision == "float64" else "float64"


def test_issued_and_found(precision):
    assert certificate.find(precision) is None
    issued = certificate.issue(ROWS)
    assert certificate.find(precision) == issued
    assert issued.rows == ROWS
    assert certificate.require(precision).id == issued.id
    assert [path.name for path in certificate.directory().iterdir()] == [f"{issued.id}.json"]


def test_none_at_all_is_said(precision):
    with pytest.raises(NotCertified, match=r"there is none in .*tox run -e certify.*tests/contract.*--unverified"):
        certificate.require(precision)


def test_one_byte_of_the_sources_closes_it(precision, monkeypatch, tmp_path):
    certificate.issue(ROWS)
    copy = tmp_path / "deep"
    shutil.copytree(Path(certificate.__file__).parent, copy)
    monkeypatch.setattr(certificate, "__file__", str(copy / "certificate.py"))
    assert certificate.find(precision) is not None, "an equal copy has the same hash"
    source = copy / "losses.py"
    source.write_bytes(source.read_bytes() + b"\n")
    with pytest.raises(NotCertified, match="does not apply: the sources of deep differ"):
        certificate.require(precision)


def test_a_new_source_file_closes_it(precision, monkeypatch, tmp_path):
    certificate.issue(ROWS)
    copy = tmp_path / "deep"
    shutil.copytree(Path(certificate.__file__).parent, copy)
    (copy / "sitecustom.py").write_text("")
    monkeypatch.setattr(certificate, "__file__", str(copy / "certificate.py"))
    assert certificate.find(precision) is None


@pytest.mark.parametrize("name", ["python", *certificate.DISTRIBUTIONS])
def test_another_version_closes_it(precision, monkeypatch, name):
    certificate.issue(ROWS)
    changed = certificate.versions() | {name: "0.0.1"}
    monkeypatch.setattr(certificate, "versions", lambda: changed)
    with pytest.raises(NotCertified, match=rf"versions differ \({name} .* -> 0.0.1\)"):
        certificate.require(precision)


def test_another_precision_closes_it(precision):
    certificate.issue(ROWS)
    with pytest.raises(NotCertified, match=f"issued for {precision}, this run computes in {other(precision)}"):
        certificate.require(other(precision))


def test_another_backend_closes_it(precision, monkeypatch):
    certificate.issue(ROWS)
    monkeypatch.setattr(certificate, "backend", lambda: "abacus")
    with pytest.raises(NotCertified, match="this is abacus"):
        certificate.require(precision)


def test_the_closest_is_explained(precision, monkeypatch):
    certificate.issue(ROWS)
    with monkeypatch.context() as older:
        older.setattr(certificate, "backend", lambda: "abacus")
        older.setattr(certificate, "versions", lambda: {"python": "2.7"})
        certificate.issue(ROWS)
    with pytest.raises(NotCertified, match=r"the closest of 2, .* does not apply: it was issued for"):
        certificate.require(other(precision))


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(certificate.Certificate)])
def test_an_edited_file_is_no_certificate(precision, field):
    issued = certificate.issue(ROWS)
    path = certificate.directory() / f"{issued.id}.json"
    content = json.loads(path.read_text())
    content[field] = {} if isinstance(content[field], dict) else content[field] + "0"
    path.write_text(json.dumps(content))
    assert certificate.read() == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": "x"}'])
def test_other_files_are_passed_over(precision, content):
    issued = certificate.issue(ROWS)
    (certificate.directory() / "other.json").write_text(content)
    assert certificate.read() == [issued]


def test_nothing_checked_certifies_nothing():
    with pytest.raises(ValueError, match="without rows"):
        certificate.issue({})


def test_train_refuses_without_and_writes_nothing(tiny, tmp_path):
    with pytest.raises(NotCertified, match="no certificate covers this run"):
        train.start([tiny()], [tmp_path / "run"])
    assert not (tmp_path / "run").exists()


def test_train_records_the_certificate(tiny, tmp_path, capsys):
    issued = certificate.issue(ROWS)
    train.start([tiny(steps=400, warmup_steps=400)], [tmp_path / "run"])
    (session,) = runs.sessions(tmp_path / "run")
    assert (session["certificate"], session["unverified"]) == (issued.id, False)
    assert issued.id in capsys.readouterr().out


def test_unverified_is_recorded(tiny, tmp_path, monkeypatch):
    train.start([tiny(steps=400, warmup_steps=400)], [tmp_path / "run"], unverified=True)
    (session,) = runs.sessions(tmp_path / "run")
    assert (session["certificate"], session["unverified"]) == (None, True)
    monkeypatch.setattr(environments, "make", None)  # refused before anything is built
    with pytest.raises(NotCertified, match="no certificate covers"):
        train.resume([tmp_path / "run"], steps=9)
