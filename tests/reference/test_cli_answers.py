"""What the answers of `python -m reference` are made of: the fields of the JSON, the heads of the tables, the synopses.

Other tests compare the numbers; here it is the names that scripts and readers look for.
"""

import argparse

import pytest
from terminal import run, run_json

from reference.parser import parser

PROCESS = "name states actions discount"
SOLVED = f"{PROCESS} solver reason iterations status message error_bound start_value values policy q"
LEARNT = f"{PROCESS} method seed steps replications step_sizes quantity truth truth_error errors bounds failure"
GENERATOR = "divergence beta cap alpha low high"
OPTIMUM = "multiplier multiplier_error value dual gap effective_sample_size effective_sample_fraction support"
TRIED = ("--steps", "3", "--replications", "2")
ANSWERS = {
    "solve garnet:3,2,2,0": (SOLVED, "state value action q(0) q(1)"),
    "solve bandit --soft 1": (SOLVED, "state value action q(0) q(1) q(2)"),
    "solve bandit --exact": (
        f"{PROCESS} solver status message intended exact_solves denominator_bits states_with_ties start_value "
        "exact_start_value error_of_floats values exact_values policy optimal_actions",
        "state value optimal actions",
    ),
    "evaluate bandit": (SOLVED, "state value action q(0) q(1) q(2)"),
    "occupancy bandit": (f"{PROCESS} flow_residual mean_reward occupancy", "state action d"),
    "weights bandit": (
        f"{PROCESS} {GENERATOR} {OPTIMUM} weights weights_error behavior advantage",
        "state action behavior D advantage weight w w D",
    ),
    "weights bandit --multiplier 0.2": (
        f"{PROCESS} {GENERATOR} multiplier mean objective optimal_multiplier weights",
        "mean of the weights",
    ),
    "conditional bandit": (f"{SOLVED} beta ratio", "state value action q(0) q(1) q(2) ratio(0) ratio(1) ratio(2)"),
    "flow bandit": (
        f"{PROCESS} divergence beta method iterations status value primal dual gap mean_reward flow_residual values "
        "policy occupancy ratio td_error behavior",
        "state action behavior D td error δ ratio w d = w D",
    ),
    "temperature bandit --ess 0.9": (
        f"{PROCESS} divergence signal target achieved achieved_error beta beta_low beta_high weights",
        "state action behavior D advantage weight w w D",
    ),
    "compare bandit --policies uniform optimal": (
        f"{PROCESS} policies start_values difference difference_error total_variation",
        "state uniform optimal difference",
    ),
    "compare bandit --divergences kl js": (
        f"{PROCESS} beta divergences",
        "divergence ν value gap 1 / E w² min w max w",
    ),
    "compare bandit": (
        f"{PROCESS} divergence beta relaxed conditional occupancy behavior",
        "pair behavior D relaxed conditional occupancy",
    ),
    "learn td bandit": (LEARNT, "step median error worst error bound"),
    "learn reinforce bandit": (LEARNT, "episode median error worst error"),
    "export bandit": (f"{PROCESS} file", "MDP(1 states, 3 actions, discount 0.75, dense)"),
}


@pytest.mark.parametrize("command", ANSWERS)
def test_answers_have_the_fields_and_columns_that_they_are_read_by(capsys, tmp_path, monkeypatch, command):
    """The head of a table stands in one line, whatever draws the table; a command without one says it in its first."""
    monkeypatch.chdir(tmp_path)
    fields, head = ANSWERS[command]
    more = {"learn": TRIED, "export": ("bandit.npz",)}.get(command.split()[0], ())
    assert set(run_json(capsys, *command.split(), *more)) == set(fields.split())
    text = run(capsys, *command.split(), *more)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert head in lines or head in "\n".join(lines[:3])
    named = "bandit.npz" if more == ("bandit.npz",) else command.split()[2 if more == TRIED else 1]
    assert text.startswith(f"{named}: MDP(")


PROCESS_OPTIONS = "NAME --discount G --reward R"
GENERATOR_OPTIONS = "--divergence {} --cap X --alpha X --low X --high X"
OUTPUT_OPTIONS = "--json --limit N --plot FILE"
DATA = f"{GENERATOR_OPTIONS} --beta B --behavior P"
SYNOPSES = {
    "solve": f"{PROCESS_OPTIONS} --tolerance T --solver {{}} --soft ALPHA --exact --intended {OUTPUT_OPTIONS}",
    "evaluate": f"{PROCESS_OPTIONS} --policy P --soft ALPHA {OUTPUT_OPTIONS}",
    "occupancy": f"{PROCESS_OPTIONS} --policy P {OUTPUT_OPTIONS}",
    "weights": f"{PROCESS_OPTIONS} {DATA} --multiplier NU {OUTPUT_OPTIONS}",
    "conditional": f"{PROCESS_OPTIONS} --beta B --behavior P {OUTPUT_OPTIONS}",
    "flow": f"{PROCESS_OPTIONS} {DATA} {OUTPUT_OPTIONS}",
    "temperature": (
        f"{PROCESS_OPTIONS} {GENERATOR_OPTIONS} --behavior P --ess F --perplexity F --kl NATS {OUTPUT_OPTIONS}"
    ),
    "compare": f"{PROCESS_OPTIONS} --policies P --divergences D {DATA} {OUTPUT_OPTIONS}",
    "plot": f"{PROCESS_OPTIONS} FILE --show {{}} {DATA} --json",
    "studio": "NAME --port N --headless",
    "learn": (
        f"METHOD {PROCESS_OPTIONS} --steps T --replications R --seed N --step-size A --epsilon E --n N --policy P "
        f"--features F --baseline {{}} --horizon T {OUTPUT_OPTIONS}"
    ),
    "export": f"{PROCESS_OPTIONS} FILE --json",
}


def test_every_command_takes_what_its_synopsis_says():
    """In the order of the help, where everything says what it is for."""
    made = parser()
    [commands] = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    assert commands.metavar == "COMMAND"
    assert {name: synopsis(command) for name, command in commands.choices.items()} == {
        name: f"-h --help {words}" for name, words in SYNOPSES.items()
    }
    assert all(action.help for command in commands.choices.values() for action in command._actions)
    with pytest.raises(ValueError, match="arguments are required: COMMAND"):
        made.parse_args([])


NUMBERS = {
    float: "--discount --tolerance --soft --cap --alpha --low --high --beta --multiplier --ess --perplexity --kl "
    "--step-size --epsilon",
    int: "--seed --port",
    "rows": "--limit --steps --replications --n --horizon",
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_options_that_are_numbers_take_no_words(kind):
    """Refused by the option that was meant, before anything is read or solved."""
    made = parser()
    says = r"expected a number of rows >= 1, saw 'many'" if kind == "rows" else f"invalid {kind.__name__} value: 'many'"
    found = set()
    for name, words in SYNOPSES.items():
        given = {"plot": ["chain:3", "f.png"], "export": ["chain:3", "f.npz"], "learn": ["td", "chain:3"]}
        for option in sorted(set(words.split()) & set(NUMBERS[kind].split())):
            with pytest.raises(ValueError, match=rf"argument {option}: {says}"):
                made.parse_args([name, *given.get(name, ["chain:3"]), option, "many"])
            found.add(option)
    assert found == set(NUMBERS[kind].split())


def synopsis(command: argparse.ArgumentParser) -> str:
    """Every argument with what stands for its value; {} for one of several words, none for a switch."""
    words = []
    for action in command._actions:
        value = "" if action.nargs == 0 else "{}" if action.metavar is None and action.choices else str(action.metavar)
        words += [*action.option_strings, value]
    return " ".join(word for word in words if word)
