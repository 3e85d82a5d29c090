"""Write a run's policy as files that act without this package."""

import dataclasses
from pathlib import Path


def run(arguments: list[str]) -> int:
    """Write the two files and name them; status 0."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Export:
        """Export the last policy of a run: policy.npz, and act.py, which acts with it and needs NumPy alone."""

        run: tyro.conf.Positional[Path]
        """Run folder."""
        output: Path | None = None
        """Folder to write into; none means policy in the run folder."""

    parsed = tyro.cli(Export, prog="python -m deep export", args=arguments)
    from deep import policy
    from deep.export import export

    trained = policy.load(parsed.run)
    for path in export(parsed.run, trained, parsed.output or parsed.run / "policy"):
        print(path)
    return 0
