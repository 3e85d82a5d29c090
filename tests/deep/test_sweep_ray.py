"""A sweep on a Ray cluster, one of whose worker processes dies, ends as one that nothing happened to."""

import json
import os
import signal
import threading
from pathlib import Path

import jax
import pytest
from outcomes import difference, outcome
from tiny_sweeps import SHORT, grid_of, process_of, wait_until

from deep import runs, train
from deep.commands import sweep as command
from deep.errors import InvalidSetting
from deep.presets import preset

pytestmark = [
    pytest.mark.extras,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # warnings of Ray's own are not ours to mend
]


@pytest.fixture(autouse=True)
def _warnings_are_rays_own(processes, monkeypatch):
    """Ray's own processes start with warnings, which must not end them."""
    monkeypatch.delenv("PYTHONWARNINGS")


def test_a_killed_worker_is_replaced_and_the_sweep_ends_equal(row, tmp_path, capfd):
    folder, name = tmp_path / "sweep", f"{SHORT['environment']}__roer__s1"
    arguments = grid_of(folder, ["sac", "roer"], seeds="0-2")

    def kill():
        written = folder / name / "metrics.jsonl"
        wait_until(lambda: written.exists() and written.stat().st_size > 4000)
        os.kill(process_of(folder / "logs" / f"{name}.log"), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert command.run([*arguments, "--engine", "ray", "--threads", "1"]) == 0
    killer.join()
    printed = capfd.readouterr().out
    assert f"{name} lost (WorkerCrashedError" in printed
    assert "6 of 6 runs complete" in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert [len(each["ends"]) for each in summary.values()] == [int(each == name) for each in summary]
    assert len(summary) == 6

    undisturbed = tmp_path / "undisturbed"
    for place in summary:
        with jax.disable_jit(False):
            config = runs.settings(folder / place)
            assert train.start([config], [undisturbed / place], unverified=True) == 0
        odd = difference(outcome(folder / place), outcome(undisturbed / place))
        row.exact("CK04", "run of a Ray sweep with a killed worker", odd == "", f"{place}: {odd}")


def test_a_signal_lets_the_workers_save(row, tmp_path, capfd):
    folder, name = tmp_path / "sweep", f"{SHORT['environment']}__sac__s0"

    def stop():
        written = folder / name / "metrics.jsonl"
        wait_until(lambda: written.exists() and written.stat().st_size > 4000)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    arguments = [*grid_of(folder, ["sac"], seeds="0-3"), "--engine", "ray", "--threads", "1"]
    assert command.run(arguments) == 128 + signal.SIGTERM
    stopper.join()
    log = (folder / "logs" / f"{name}.log").read_text()
    assert "saved at step" in log, log
    assert preset("sac").preset in capfd.readouterr().out
    assert command.run(arguments) == 0
    summary = json.loads((folder / "summary.json").read_text())
    row.exact("CK04", "runs of a stopped sweep", {e["state"] for e in summary.values()} == {"complete"}, f"{summary}")


def test_an_address_where_no_cluster_is(tmp_path):
    arguments = [*grid_of(tmp_path / "sweep", ["sac"]), "--engine", "ray", "--address", "127.0.0.1:1"]
    with pytest.raises(InvalidSetting, match=r"--engine ray: no Ray cluster answers at 127.0.0.1:1"):
        command.run(arguments)
    assert Path(tmp_path / "sweep").exists()
