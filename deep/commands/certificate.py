"""``certificate``: what covers this environment, or how to get it."""

from deep import certificate
from deep.commands.usage import no_arguments


def run(arguments: list[str]) -> int:
    """Print the certificate that covers this process; status 1 and the way to one if there is none."""
    no_arguments("certificate", arguments)
    found = certificate.require(certificate.precision())
    print(f"certificate {found.id} of {found.date} covers this environment ({found.backend}, {found.precision})")
    print("versions    " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    print(f"sources     {found.source_hash}")
    print(f"folder      {certificate.directory()}")
    for identifier, row in sorted(found.rows.items()):
        print(f"  {identifier:10s} {row['quantity']:48s} largest error {row['error']:.3e}  bound {row['bound']:.3e}")
    return 0
