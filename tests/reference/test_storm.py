"""Storm reads what we write, we read what Storm builds, and both mean the same values."""

import re
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from same import difference

from reference import library
from reference.interop import from_storm, read_prism, read_umb, write_umb
from reference.mdp import MDP, InvalidMDP
from reference.planning import solve

PROGRAM = """\
mdp
const int N;
module walk
  x : [0..N] init 0;
  [rest] x<N -> true;
  [go]   x<N -> 3/4 : (x'=x+1) + 1/4 : (x'=0);
  [rest] x=N -> true;
endmodule
rewards "profit"
  x=N : 1;
  [go] true : 0.5;
endrewards
rewards "steps"
  true : 1;
endrewards
"""


@pytest.fixture
def stormpy():
    return pytest.importorskip("stormpy", reason="not run: stormpy is not installed")


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "walk.prism"
    path.write_text(PROGRAM, encoding="ascii")
    return path


@pytest.mark.interop
def test_a_prism_program_is_the_mdp_that_it_says(stormpy, program, capfd):
    mdp = read_prism(program, 0.9, "profit", "N=2")
    # Labels in alphabetical order: go, rest.
    go = [[0.25, 0.75, 0.0], [0.25, 0.0, 0.75], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(np.asarray(mdp.transitions)[:, 0], go)
    np.testing.assert_array_equal(np.asarray(mdp.transitions)[:, 1], np.eye(3))
    assert mdp.available.tolist() == [[True, True], [True, True], [False, True]]
    assert mdp.rewards.tolist() == [[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]]
    assert mdp.initial.tolist() == [1.0, 0.0, 0.0]
    assert read_prism(program, 0.9, "steps", "N=3").rewards[3].tolist() == [0.0, 1.0]
    assert capfd.readouterr().out == ""


@pytest.mark.interop
def test_programs_that_storm_refuses_are_one_clear_line(stormpy, program, capfd):
    def refuse(message: str, **options) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            read_prism(program, 0.9, **options)
        assert str(program) in str(caught.value)
        assert "\n" not in str(caught.value)

    refuse("leaves the constants N open")
    refuse("reward models profit, steps, and which one to take was not said", constants="N=2")
    refuse("none is called 'loss'", constants="N=2", reward="loss")
    program.write_text(PROGRAM.replace("endmodule", ""), encoding="ascii")
    refuse("Storm cannot build it: WrongFormatException", constants="N=2")
    program.write_text("ctmc\nmodule M\n x : [0..1];\n [] x=0 -> 2 : (x'=1);\nendmodule", encoding="ascii")
    refuse("Storm cannot build it|expected a sparse MDP or DTMC")
    with pytest.raises(FileNotFoundError):
        read_prism(program.with_name("absent.prism"), 0.9)
    assert capfd.readouterr().out == ""


@pytest.mark.interop
@pytest.mark.parametrize(
    "sent",
    [library.garnet(6, 3, 2, 1, 0.5), library.chain(5), library.cliff(3, 5), library.gridworld(2, 3, slip=0.25)],
    ids=repr,
)
def test_storm_reads_ours_and_we_read_storm_s(stormpy, row, tmp_path, sent):
    """As a model in memory and as an archive that Storm wrote; its copy lacks the discount and the grid."""
    write_umb(sent, tmp_path / "ours.umb")
    model = stormpy.build_model_from_umb(str(tmp_path / "ours.umb"))
    differs = difference(sent, from_storm(model, sent.discount), ignore=("grid",))
    row.exact("MDP-02", "Storm's model of our UMB", not differs, f"{differs} differ")
    stormpy.io.export_to_umb(model, str(tmp_path / "theirs.umb"))
    differs = difference(sent, read_umb(tmp_path / "theirs.umb", sent.discount), ignore=("grid",))
    row.exact("MDP-02", "UMB through Storm", not differs, f"{differs} differ")


@pytest.mark.interop
def test_storm_means_the_same_values(stormpy, row, tmp_path):
    """`R{"reward"}max=? [Cdiscount=gamma]` of Storm is our optimal value, to the accuracy that its rule promises.

    Value iteration stops when a step changes no value by more than `eps` (relative to it), after which `v*` is within
    `gamma / (1 - gamma)` times that change (Puterman 1994, proposition 6.6.5).
    """
    mdp = library.garnet(6, 3, 2, 1, 0.5)
    write_umb(mdp, tmp_path / "ours.umb")
    model = stormpy.build_model_from_umb(str(tmp_path / "ours.umb"))
    [asked] = stormpy.parse_properties('R{"reward"}max=? [Cdiscount=0.5]')
    promised = Fraction(str(stormpy.Environment().solver().min_max().precision))
    result = stormpy.model_checking(model, asked, only_initial_states=False)
    theirs = np.array([result.get_value(state) for state in range(mdp.n_states)])
    ours = solve(mdp)
    step = float(promised) * float(np.abs(theirs).max())
    bound = step * mdp.discount / (1.0 - mdp.discount) + ours.error_bound
    row("MDP-02", "Storm's discounted values", np.abs(theirs - ours.values), bound, "Storm's precision / (1 - gamma)")


class Matrix:
    """A sparse matrix with the methods of stormpy's, from rows of `{column: value}`."""

    def __init__(self, *rows: dict, method: bool = False) -> None:
        wrap = (lambda value: lambda: value) if method else (lambda value: value)
        self.rows = [[SimpleNamespace(column=c, value=wrap(v)) for c, v in row.items()] for row in rows]
        self.nr_rows = len(rows)

    def get_row(self, row: int) -> list[SimpleNamespace]:
        return self.rows[row]


def model(**changes) -> SimpleNamespace:
    """Two states, three choices, in the shape of a stormpy model; numbers as text are exact rationals."""
    paid = SimpleNamespace(
        has_state_rewards=True, state_rewards=["1/3", "2"], has_state_action_rewards=True,
        state_action_rewards=["0", "1", "0"], has_transition_rewards=True,
        transition_rewards=Matrix({1: "4"}, {}, {}),
    )  # fmt: skip
    parts = {
        "model_type": SimpleNamespace(name="MDP"), "is_sparse_model": True, "has_parameters": False,
        "nr_states": 2, "nr_choices": 3, "nondeterministic_choice_indices": [0, 2, 3], "initial_states": [1],
        "transition_matrix": Matrix({0: "1/2", 1: "1/2"}, {0: "1"}, {1: "1"}, method=True),
        "reward_models": {"r": paid}, "has_choice_labeling": lambda: False,
    }  # fmt: skip
    return SimpleNamespace(**(parts | changes))


def test_a_model_in_the_shape_of_storm_s():
    """Without Storm: exact numbers, entries whose value is a method, rewards of all three kinds, no labels."""
    mdp = from_storm(model(), 0.9)
    np.testing.assert_array_equal(mdp.transitions, [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    assert mdp.rewards.tolist() == [[1 / 3 + 0.5 * 4.0, 1 / 3 + 1.0], [2.0, 0.0]]
    assert mdp.initial.tolist() == [0.0, 1.0]
    chain = model(
        model_type=SimpleNamespace(name="DTMC"), nr_choices=2, transition_matrix=Matrix({1: 1.0}, {0: 1.0}),
        initial_states=[], reward_models={"r": SimpleNamespace(
            has_state_rewards=True, state_rewards=[1.0, 2.0], has_state_action_rewards=False,
            has_transition_rewards=False)},
    )  # fmt: skip
    assert from_storm(chain, 0.9).rewards.tolist() == [[1.0], [2.0]]
    assert from_storm(chain, 0.9).initial.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": SimpleNamespace(name="CTMC")}, "the model is a CTMC: expected a sparse MDP or DTMC"),
        ({"has_parameters": True}, "the model is a MDP with parameters: expected"),
        ({"is_sparse_model": False}, "expected a sparse MDP"),
        ({"reward_models": {}}, "the model has no reward model"),
        ({"transition_matrix": Matrix({0: 0.5}, {0: 1.0}, {1: 1.0})}, "state 0 under action 0 sum to 0.5"),
    ],
)
def test_models_of_other_kinds_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        from_storm(model(**changes), 0.9)
    with pytest.raises(ValueError, match="the model is a MDP: expected a sparse"):
        from_storm(MDP(np.ones((1, 1, 1)), np.zeros((1, 1)), 0.5), 0.9)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"reward_models": {}}, ValueError, "walk.prism: the model has no reward model"),
        ({"transition_matrix": Matrix({0: 0.5}, {0: 1.0}, {1: 1.0})}, InvalidMDP, "under action 0 sum to 0.5"),
        ({"open": ["q", "N"]}, ValueError, 'leaves the constants N, q open; give them, such as constants="N=1,q=1"'),
        ({"refused": "expected  a\nmodule"}, ValueError, "walk.prism: Storm cannot build it: expected a module"),
        ({}, None, ""),
    ],
)  # fmt: skip
def test_what_storm_says_keeps_its_kind_and_names_the_file(monkeypatch, program, changes, kind, message):
    """Storm's part played by one that parses, asks for constants and builds as it is told."""
    asked = []

    def parse(path: str) -> SimpleNamespace:
        if "refused" in changes:
            raise RuntimeError(changes["refused"])
        names = [SimpleNamespace(name=name) for name in changes.get("open", [])]
        return SimpleNamespace(has_undefined_constants=bool(names), get_undefined_constants=lambda: names, path=path)

    def instantiate(parsed: SimpleNamespace, constants: str) -> list[SimpleNamespace]:
        asked.append(constants)
        return [parsed]

    class Options:
        def set_build_all_reward_models(self, wanted: bool) -> None:
            asked.append(("rewards", wanted))

        def set_build_choice_labels(self, wanted: bool) -> None:
            asked.append(("labels", wanted))

    stormpy = SimpleNamespace(
        parse_prism_program=parse, instantiate_constants=instantiate, BuilderOptions=Options,
        build_model=lambda parsed, options: model(**changes) if isinstance(options, Options) else None,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "stormpy", stormpy)
    if kind is None:
        read = read_prism(program, 0.9, "r", "N=3")
        assert asked == ["N=3", ("rewards", True), ("labels", True)]
        assert not difference(read, from_storm(model(), 0.9))
        return
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_prism(program, 0.9)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{program}: ")


def test_missing_storm_names_the_remedy(monkeypatch, program):
    monkeypatch.setitem(sys.modules, "stormpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"walk\.prism needs Storm.*pip install stormpy"):
        read_prism(program, 0.9)
    assert issubclass(InvalidMDP, ValueError)
