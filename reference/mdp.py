"""Finite discounted Markov decision processes.

An `MDP` is the tuple `(P, r, gamma, mu0)` of Puterman, *Markov Decision Processes* (1994), chapter 6:

    P[s, a, t]   probability of moving from state s to state t under action a
    r[s, a]      expected reward
    gamma        discount, 0 <= gamma < 1
    mu0[s]       distribution of the first state

with state-wise available actions. **The floats handed in are the MDP**: nothing is renormalised, and every solver
and every error bound of this package speaks about exactly these numbers. A row of `P` may therefore miss one, but
only by what rounding explains (`reference.rounding.admissible_defect`).
"""

import os
import zipfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float64
from scipy import sparse

from reference import checks
from reference.checks import InvalidMDP
from reference.files import whole_file
from reference.kernels import Scan, kernels
from reference.memory import NotEnoughMemory, require_memory
from reference.rounding import UNIT_ROUNDOFF, gamma_n

_FORMAT = "roer-mdp-1"
_QUICK = 1e-6  # of 1 - gamma: what quick row sums may lack of exact ones


class RowSums(NamedTuple):
    """Row sums minus one, each within `blur` of exact, and their extremes: of `P`, or of the chain of a policy."""

    defects: Float64[np.ndarray, "..."]  # of P: (S, A), 0 at unavailable pairs, which the extremes leave out
    least: float
    most: float
    blur: float
    exact: bool  # rounded once each, and not summed with rounding

    @property
    def largest(self) -> float:
        """The largest `|defects|` there is."""
        return max(abs(self.least), abs(self.most))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MDP:
    """A finite discounted MDP with `S` states and `A` actions.

    * `transitions`: dense `(S, A, S)` array, or a SciPy CSR matrix `(S*A, S)` whose row `s*A + a` is the pair `(s, a)`.
    * `rewards`: `(S, A)`; `discount`: in `[0, 1)`.
    * `initial`: `(S,)`, uniform if not given.
    * `available`: `(S, A)` booleans, all true if not given. Rows of unavailable pairs are ignored; they must be zero or
      distributions, and their rewards are stored as 0.
    * `grid`: `(rows, columns)` if the first `rows * columns` states are the cells of a grid, row by row (for display).

    `n_states`, `n_actions` and `is_sparse` follow from these.

    Arrays are stored as read-only float64. Those that are float64 and read-only already (`array.setflags(write=False)`;
    for CSR its `data`, `indices` and `indptr`) are shared, unless they are views of something writable, as those of
    SciPy often are (freeze their `base`); all others are copied.
    Raises `InvalidMDP`, naming state and action, if anything does not fit.
    """

    transitions: Float64[np.ndarray, "S A S"] | sparse.csr_array
    rewards: Float64[np.ndarray, "S A"]
    discount: float
    initial: Float64[np.ndarray, " S"]
    available: Bool[np.ndarray, "S A"]
    grid: tuple[int, int] | None
    n_states: int = field(init=False)
    n_actions: int = field(init=False)
    is_sparse: bool = field(init=False)

    def __init__(
        self,
        transitions: npt.ArrayLike | sparse.sparray | sparse.spmatrix,
        rewards: npt.ArrayLike,
        discount: float,
        initial: npt.ArrayLike | None = None,
        available: npt.ArrayLike | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        rewards = checks.as_floats(rewards, "rewards", "(S, A)", 2)
        n_states, n_actions = rewards.shape
        if rewards.size == 0:
            raise InvalidMDP(f"rewards has shape {rewards.shape}: expected (S, A) with at least one state and action.")
        available = checks.as_availability(available, rewards.shape)
        checks.check_rewards(rewards, available)
        rewards = rewards if available.all() else np.where(available, rewards, 0.0)
        if initial is None:
            initial = np.full(n_states, 1.0 / n_states)
        else:
            initial = checks.as_floats(initial, "initial", "(S,)", 1)
        checks.check_initial(initial, n_states)
        for array in (rewards, initial, available):
            array.setflags(write=False)
        fields = {
            "transitions": checks.as_transitions(transitions, n_states, n_actions),
            "rewards": rewards,
            "discount": checks.as_discount(discount),
            "initial": initial,
            "available": available,
            "grid": checks.as_grid(grid, n_states),
            "n_states": n_states,
            "n_actions": n_actions,
            "is_sparse": sparse.issparse(transitions),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        if not (self._glance.smallest >= 0.0 and np.isfinite(self._glance.defects).all()):
            checks.check_entries(self.matrix, n_actions)
        if self._glance.blur == 0.0 or not self._fits_at_a_glance():
            checks.check_rows(self._carried(self._scan), n_states)
            checks.check_scale(rewards, self.discount, self.defects)

    def _fits_at_a_glance(self) -> bool:
        """Whether no rounding of quick row sums can hide a row that is no distribution."""
        sums = self._row_sums(self._glance)
        if not checks.rows_fit(self._carried(self._glance), self.n_states, sums.blur):
            return False
        return checks.scale_fits(self.rewards, self.discount, sums.most + sums.blur)

    def _carried(self, scan: Scan) -> Float64[np.ndarray, "S A"]:
        """The row sums minus one, those of unavailable pairs as well, where they carry a row: that enters no result."""
        defects = scan.defects.reshape(self.rewards.shape)
        return defects if self.all_available else np.where(self.available | (defects != -1.0), defects, 0.0)

    def _of_available(self, scan: Scan) -> Float64[np.ndarray, "S A"]:
        """The row sums minus one, 0 at unavailable pairs."""
        defects = scan.defects.reshape(self.rewards.shape)
        return defects if self.all_available else np.where(self.available, defects, 0.0)

    @cached_property
    def _glance(self) -> Scan:
        found = kernels(self.matrix).glance(self.matrix)
        found.defects.setflags(write=False)
        return found

    @cached_property
    def _scan(self) -> Scan:
        if self._glance.blur == 0.0:
            return self._glance
        found = kernels(self.matrix).scan(self.matrix)
        found.defects.setflags(write=False)
        return found

    @cached_property
    def all_available(self) -> bool:
        """Whether every action is available in every state."""
        return bool(self.available.all())

    @cached_property
    def matrix(self) -> Float64[np.ndarray, "SA S"] | sparse.csr_array:
        """`transitions` as a matrix with row `s*A + a` for the pair `(s, a)` (a view, never a copy)."""
        if isinstance(self.transitions, np.ndarray):
            return self.transitions.reshape(-1, self.n_states)
        return self.transitions

    @cached_property
    def defects(self) -> Float64[np.ndarray, "S A"]:
        """Exact row sums minus one, rounded once (`sum_minus_one`); 0 at unavailable pairs."""
        return self._of_available(self._scan)

    @cached_property
    def largest_defect(self) -> float:
        """The largest `|defects|`."""
        return self.row_sums.largest

    @cached_property
    def row_sums(self) -> RowSums:
        """`defects`, how far they may be from exact (one rounding and their summation), and their extremes."""
        exact = self._row_sums(self._scan)
        return exact._replace(blur=gamma_n(2) * exact.largest + (self.row_entries * UNIT_ROUNDOFF) ** 2, exact=True)

    @cached_property
    def quick_row_sums(self) -> RowSums:
        """Plain sums, which the checks of large dense transitions are content with, or `row_sums` where there are none.

        What they lack of exact ones is at most a millionth of `1 - gamma`.
        """
        quick = self._glance.blur
        exact = quick == 0.0 or self.discount * quick > _QUICK * (1.0 - self.discount)
        return self.row_sums if exact else self._row_sums(self._glance)

    def _row_sums(self, scan: Scan) -> RowSums:
        defects = self._of_available(scan)
        seen = defects if self.all_available else defects[self.available]
        return RowSums(defects, float(seen.min()), float(seen.max()), scan.blur, False)

    @cached_property
    def largest_reward(self) -> float:
        """The largest `|rewards|`."""
        return max(float(self.rewards.max()), -float(self.rewards.min()))

    @cached_property
    def row_entries(self) -> int:
        """The largest number of nonzeros in a row of `P`: what rounds in the dot products of a backup."""
        return self._glance.row_entries

    @cached_property
    def column_entries(self) -> int:
        """The largest number of nonzeros in a column of `P`."""
        if isinstance(self.matrix, np.ndarray):
            return int(np.count_nonzero(self.matrix, axis=0).max())
        return int(np.bincount(self.matrix.indices).max())

    @cached_property
    def terminal(self) -> Bool[np.ndarray, " S"]:
        """States that only repeat themselves with reward 0 by their single available action.

        One action only, so that the soft value is zero as well: with several, the entropy of the choice would pay.
        """
        if isinstance(self.transitions, np.ndarray):
            occupied = np.count_nonzero(self.transitions, axis=2)
            stays = np.einsum("sas->sa", self.transitions) > 0.0
        else:
            coo = sparse.coo_array(self.transitions)
            row, column = coo.row[coo.data > 0.0], coo.col[coo.data > 0.0]
            occupied = np.bincount(row, minlength=self.rewards.size).reshape(self.rewards.shape)
            loops = row[row // self.n_actions == column]
            stays = np.isin(np.arange(self.rewards.size), loops).reshape(self.rewards.shape)
        repeats = self.available & (occupied == 1) & stays & (self.rewards == 0.0)
        return repeats.any(axis=1) & (self.available.sum(axis=1) == 1)

    def expected_next(self, values: Float64[np.ndarray, " S"]) -> Float64[np.ndarray, "S A"]:
        """`(P v)(s, a)`, the expected value of the next state."""
        return np.asarray(self.matrix @ values).reshape(self.rewards.shape)

    def with_discount(self, discount: float) -> "MDP":
        """The same process under another discount."""
        return replace(self, discount=discount)

    def to_dense(self) -> "MDP":
        """The same process with dense transitions."""
        if isinstance(self.transitions, np.ndarray):
            return self
        entries = self.n_states * self.rewards.size
        require_memory(16.0 * entries, f"the dense form of {self!r}", "Stay with CSR, which every solver takes.")
        return replace(self, transitions=self.transitions.toarray().reshape(*self.rewards.shape, self.n_states))

    def to_sparse(self) -> "MDP":
        """The same process with CSR transitions."""
        return self if self.is_sparse else replace(self, transitions=sparse.csr_array(self.matrix))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an `.npz` file (plain arrays, no pickle). The file appears whole or not at all.

        Its arrays: `format` (the text "roer-mdp-1"), `rewards` `(S, A)`, `discount` `()`, `initial` `(S,)`, `available`
        `(S, A)` bool, `grid` `(2,)` or `(0,)`, and either `transitions` `(S, A, S)` or the CSR matrix `(S*A, S)` with
        row `s*A + a` as `data`, `indices` and `indptr`. Everything comes back bit for bit, the layout included.
        """
        arrays: dict[str, Any] = {
            "format": _FORMAT, "rewards": self.rewards, "discount": self.discount, "initial": self.initial,
            "available": self.available, "grid": np.array(self.grid or (), dtype=np.int64),
        }  # fmt: skip
        if isinstance(self.transitions, np.ndarray):
            arrays["transitions"] = self.transitions
        else:
            csr = self.transitions
            arrays |= {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr}
        with whole_file(path) as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MDP":
        """Read what `save` wrote. Raises `InvalidMDP` for a truncated, pickled or foreign file."""
        arrays = _read_arrays(Path(path))
        n_states, n_actions = arrays["rewards"].shape
        transitions = arrays.get("transitions")
        try:
            if transitions is None:
                csr = (arrays["data"], arrays["indices"], arrays["indptr"])
                transitions = sparse.csr_array(csr, shape=(n_states * n_actions, n_states))
                transitions.check_format(full_check=True)
            grid = (int(arrays["grid"][0]), int(arrays["grid"][1])) if arrays["grid"].size else None
            return cls(transitions, arrays["rewards"], checks.as_discount(arrays["discount"].item()), arrays["initial"],
                       arrays["available"], grid)  # fmt: skip
        except (ValueError, TypeError, IndexError) as error:
            raise InvalidMDP(f"{path}: the arrays in the file are not an MDP: {error}") from error

    def __repr__(self) -> str:
        layout = "CSR" if self.is_sparse else "dense"
        return f"MDP({self.n_states} states, {self.n_actions} actions, discount {self.discount:g}, {layout})"

    def _repr_html_(self) -> str:
        return import_module("reference.show").to_html(self)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an `.npz` written by `MDP.save`, or one clear error."""
    remedy = "Expected an .npz file written by MDP.save; write it again with MDP.save."
    with path.open("rb") as file:  # a missing or unreadable file keeps its own error
        if not zipfile.is_zipfile(file):
            raise InvalidMDP(f"{path}: not an .npz archive: foreign, or cut short. {remedy}")
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            require_memory(2.0 * size, f"{path}", "Is it an .npz file written by MDP.save?")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except NotEnoughMemory:
            raise
        except Exception as error:  # whatever a parser of damaged bytes may raise
            raise InvalidMDP(f"{path}: cannot be read: {type(error).__name__}: {error}. {remedy}") from error
    seen = str(arrays.get("format", "no format entry"))
    if seen != _FORMAT:
        raise InvalidMDP(f"{path}: format is {seen!r}, expected {_FORMAT!r}. {remedy}")
    needed = {"rewards", "discount", "initial", "available", "grid"}
    needed |= {"transitions"} if "transitions" in arrays else {"data", "indices", "indptr"}
    if missing := sorted(needed - set(arrays)):
        raise InvalidMDP(f"{path}: the file lacks {', '.join(missing)}. {remedy}")
    if arrays["rewards"].ndim != 2:
        raise InvalidMDP(f"{path}: rewards has shape {arrays['rewards'].shape}, expected (S, A). {remedy}")
    return arrays
