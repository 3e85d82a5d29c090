"""What cannot fit is refused before it is allocated, by what the system says is left."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from reference import library, memory
from reference.mdp import MDP
from reference.memory import NotEnoughMemory, available_memory, require_memory

BUILT = {
    "garnet": lambda n: library.garnet(n, 2, 3, 0, 0.9, sparse_rows=True),
    "dense garnet": lambda n: library.garnet(n, 2, 3, 0, 0.9),
    "chain": lambda n: library.chain(n),
    "gridworld": lambda n: library.gridworld(n // 20, 20, slip=0.1),
    "cliff": lambda n: library.cliff(n // 20, 20),
}


@pytest.mark.parametrize("family", BUILT)
def test_what_is_said_to_be_needed_is_enough(monkeypatch, family):
    """The peak of the construction stays below what is asked for, dense and CSR."""
    asked = []
    monkeypatch.setattr(library, "require_memory", lambda needed, what, remedy: asked.append(needed))
    BUILT[family](200)  # what is imported for it, numba at a size, is not its own
    for size in (200, 2000) if family != "dense garnet" else (200, 400):
        tracemalloc.start()
        try:
            BUILT[family](size)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak <= asked.pop(), f"{family} of {size} states: {peak} bytes at the peak"


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: library.garnet(10_000_000, 10, 5, 0, sparse_rows=True), "garnet with 10000000 states, 10 actions"),
        (lambda: library.garnet(20_000, 4, 5, 0), "garnet with 20000 states"),
        (lambda: library.gridworld(4000, 4000), "gridworld of 4000 x 4000"),
        (lambda: library.cliff(4000, 4000), "cliff of 4000 x 4000"),
        (lambda: library.chain(50_000_000), "chain with 50000000 states"),
    ],
)
def test_requests_that_cannot_fit_are_refused_before_anything_is_allocated(monkeypatch, build, what):
    room = 2**33
    monkeypatch.setattr(memory, "available_memory", lambda: room)
    tracemalloc.start()
    try:
        with pytest.raises(NotEnoughMemory) as caught:
            build()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for fragment in (what, "GiB of memory, and 8 GiB are available", "nothing was allocated", "Ask for fewer"):
        assert fragment in str(caught.value)
    assert peak < room / 1000  # what was asked for is more than all of it


def test_the_dense_form_of_a_large_process_is_refused(monkeypatch, tmp_path):
    mdp = library.garnet(2000, 2, 2, 0, sparse_rows=True)
    mdp.save(tmp_path / "process.npz")
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    with pytest.raises(NotEnoughMemory, match=r"dense form of MDP\(2000 states.*Stay with CSR"):
        mdp.to_dense()
    with pytest.raises(NotEnoughMemory, match=r"process\.npz needs about"):
        MDP.load(tmp_path / "process.npz")
    monkeypatch.setattr(memory, "available_memory", lambda: 2**27)
    np.testing.assert_array_equal(mdp.to_dense().rewards, MDP.load(tmp_path / "process.npz").rewards)


@pytest.mark.skipif(sys.platform != "linux", reason="not run: limits on address space are those of Linux")
def test_a_limit_on_address_space_is_seen():
    """A shell with `ulimit -v`: the command refuses in one line instead of being killed or failing half-way."""
    limit = 2**31
    program = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit})); "
        "from reference.__main__ import main; sys.exit(main(['solve', 'garnet:10000000,10,5,0']))"
    )
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (seen.returncode, seen.stdout) == (2, "")
    [line] = seen.stderr.splitlines()
    assert line.startswith("error: garnet with 10000000 states, 10 actions and 5 successors needs about ")
    assert float(line.partition(", and ")[2].split()[0]) * 2**30 < limit


def group(folder, limit: str, usage: int, cached: int, names: tuple[str, str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\n")


TWO = ("memory.max", "memory.current", "inactive_file")
ONE = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_control_groups_of_both_versions(tmp_path):
    """The smallest room from the process's own group to the root counts; memory that only caches files is room."""
    member = tmp_path / "cgroup"
    member.write_text("0::/user/session\n")
    root = tmp_path / "two"
    group(root / "user" / "session", "max", 50, 0, TWO)
    group(root / "user", "1000", 700, 100, TWO)
    group(root, "5000", 700, 0, TWO)
    assert sorted(memory._groups(member, root)) == [400, 4300]
    member.write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n")
    root = tmp_path / "one"
    group(root / "memory", "900", 1000, 50, ONE)  # the path of the host is not visible inside a container
    assert memory._groups(member, root) == [0]
    assert memory._groups(tmp_path / "absent", root) == []


def test_where_the_system_says_nothing_nothing_is_refused(monkeypatch):
    for name in ("_machine", "_address_space"):
        monkeypatch.setattr(memory, name, lambda: None)
    monkeypatch.setattr(memory, "_groups", lambda membership, root: [])
    assert available_memory() is None
    require_memory(1e30, "anything", "")
    monkeypatch.setattr(memory, "_groups", lambda membership, root: [7, 5])
    assert available_memory() == 5
    require_memory(5.0, "just that", "")
    with pytest.raises(NotEnoughMemory):
        require_memory(6.0, "more", "")
    assert issubclass(NotEnoughMemory, MemoryError)
    assert issubclass(NotEnoughMemory, ValueError)
