"""The gate: a certificate says that the contract was green for these sources, versions, backend and precision.

A complete green run of the contract calls :func:`issue`; ``train`` asks :func:`require` before it starts. A
certificate is one JSON file, valid only for what it names: change a byte of ``deep``, a version, the backend or the
precision and training refuses until the contract has been run again.
"""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import platformdirs

from deep.errors import NotCertified
from deep.files import write_atomically

COMMANDS = "`tox run -e certify`, or `python -m pytest tests/contract` in this environment"
DISTRIBUTIONS = ("jax", "jaxlib", "flax", "optax", "numpy")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What was checked, and for what. ``id`` is a digest of everything else, so an edited file is no certificate."""

    id: str
    source_hash: str
    versions: dict[str, str]
    backend: str
    precision: str
    date: str
    rows: dict[str, dict[str, Any]]


def source_hash() -> str:
    """SHA-256 over the paths and bytes of every Python file of ``deep``."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in DISTRIBUTIONS}


def backend() -> str:
    """What JAX computes on in this process: "cpu", "gpu", "tpu"."""
    import jax

    return jax.default_backend()


def precision() -> str:
    """What this process computes in: "float64" with JAX_ENABLE_X64, else "float32"."""
    import jax.numpy as jnp

    return str(jnp.result_type(float))


def directory() -> Path:
    """Where certificates lie: $ROER_CERTIFICATES, or the user's state folder."""
    chosen = os.environ.get("ROER_CERTIFICATES")
    return Path(chosen) if chosen else Path(platformdirs.user_state_dir("roer")) / "certificates"


def issue(rows: dict[str, dict[str, Any]]) -> Certificate:
    """Certify what this process is, with the contract's worst ``rows`` by id; the file appears in ``directory()``."""
    if not rows:
        raise ValueError("a certificate without rows certifies nothing; expected the rows of a complete contract run")
    body = {
        "source_hash": source_hash(),
        "versions": versions(),
        "backend": backend(),
        "precision": precision(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rows": rows,
    }
    certificate = Certificate(id=_id(body), **body)
    path = directory() / f"{certificate.id}.json"
    write_atomically(path, json.dumps(dataclasses.asdict(certificate), indent=1, sort_keys=True) + "\n")
    return certificate


def read() -> list[Certificate]:
    """Every sound certificate in ``directory()``, newest first; files that are none, or were edited, are left out."""
    found = []
    for path in directory().glob("*.json"):
        try:
            certificate = Certificate(**json.loads(path.read_text(encoding="utf-8")))
            body = dataclasses.asdict(certificate)
            if body.pop("id") == _id(body):
                found.append(certificate)
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return sorted(found, key=lambda certificate: certificate.date, reverse=True)


def find(wanted_precision: str) -> Certificate | None:
    """The newest certificate for exactly these sources, versions and backend and for ``wanted_precision``."""
    return next((found for found in read() if not differences(found, wanted_precision)), None)


def differences(certificate: Certificate, wanted_precision: str) -> list[str]:
    """In what the certificate differs from what is about to run, most telling first; empty when it covers it."""
    reasons = []
    if certificate.source_hash != source_hash():
        reasons.append("the sources of deep differ")
    here = versions()
    changed = [name for name in here if certificate.versions.get(name) != here[name]]
    if changed:
        listed = ", ".join(f"{name} {certificate.versions.get(name, 'absent')} -> {here[name]}" for name in changed)
        reasons.append(f"versions differ ({listed})")
    if certificate.backend != backend():
        reasons.append(f"it was issued on {certificate.backend}, this is {backend()}")
    if certificate.precision != wanted_precision:
        reasons.append(f"it was issued for {certificate.precision}, this run computes in {wanted_precision}")
    return reasons


def refusal(wanted_precision: str) -> str:
    """Why no certificate covers what is about to run: none at all, or in what the closest one differs."""
    known = read()
    if not known:
        return f"there is none in {directory()}"
    closest = min(known, key=lambda certificate: len(differences(certificate, wanted_precision)))
    reasons = " and ".join(differences(closest, wanted_precision))
    return f"the closest of {len(known)}, {closest.id} of {closest.date}, does not apply: {reasons}"


def require(wanted_precision: str) -> Certificate:
    """The certificate that covers what is about to run; NotCertified says why there is none and how to get one."""
    certificate = find(wanted_precision)
    if certificate is None:
        raise NotCertified(
            f"no certificate covers this run: {refusal(wanted_precision)}. Make one with {COMMANDS}; "
            "--unverified trains without one and records that in the run"
        )
    return certificate


def _id(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
