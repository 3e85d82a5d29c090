"""What the chapter on the course notes computes with: exact operators, chains and policy gradients."""

from __future__ import annotations

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st

from proofs import ledger
from proofs.evidence import Role
from proofs.exact import mean
from proofs.rl import chains, gradients

positive = st.builds(fmpq, st.integers(1, 30), st.integers(1, 30))
mass = st.integers(1, 9)


def laws(size: int) -> st.SearchStrategy[chains.Vector]:
    return st.lists(mass, min_size=size, max_size=size).map(lambda row: tuple(fmpq(m, sum(row)) for m in row))


def test_the_chapter_is_complete(row):
    present = {claim.id for claim in ledger.claims() if claim.chapter == "RL"}
    missing = {f"RL-{k:02d}" for k in range(1, 36)} - present
    row.exact("proofs-ledger", "entries of RL", not missing, f"missing {sorted(missing)}")


def test_reference_is_compared_where_it_has_the_quantity(row):
    wanted = ("RL-03", "RL-06", "RL-08", "RL-23", "RL-24", "RL-34")
    for identifier in wanted:
        made = [e for e in ledger.find(identifier).run().evidence if e.role is Role.COMPARISON]
        row.exact(identifier, "comparison with reference", bool(made), "no comparison was made")


@pytest.mark.parametrize("index", range(6))
def test_the_optimum_solves_its_equation_and_no_policy_exceeds_it(index, row):
    process, first, second = chains.family(6, 1)[index]
    best = chains.optimum(process)
    row.exact("RL-05", "Tv = v", chains.optimality(process, best) == best, chains.show(best))
    for policy in (first, second, chains.uniform(process)):
        below = all(v <= b for v, b in zip(process.values(policy), best, strict=True))
        row.exact("RL-05", "v_π ≤ v*", below, f"{process.values(policy)} and {best}")


@given(st.lists(laws(3), min_size=3, max_size=3))
def test_the_stationary_law_is_one(row, rows):
    law = chains.stationary(tuple(rows))
    fixed = chains.push(law, rows) == law and sum(law, fmpq(0)) == 1 and min(law) > 0
    row.exact("RL-23", "d = dP", fixed, chains.show(law))
    visits = chains.visitation(law, tuple(rows), fmpq(2, 3))
    row.exact("RL-23", "visits from d are d/(1-γ)", visits == tuple(3 * mass for mass in law), chains.show(visits))


def test_a_chain_with_two_classes_has_no_single_law(row):
    identity = (chains.unit(0, 2), chains.unit(1, 2))
    with pytest.raises(ZeroDivisionError):
        chains.stationary(identity)
    row.exact("RL-23", "rank of I - P", chains.rank(chains.one_minus(identity, 1)) == 0, "two classes")


@given(st.lists(positive, min_size=3, max_size=3), st.sampled_from(["1/2", "9/10"]))
def test_the_policy_gradient_theorem_gives_the_derivative_that_the_values_have(row, odds, discount):
    process, policy = gradients.model(discount), gradients.softmax(odds)
    visits = chains.visitation(process.initial, chains.chain(process, policy), process.discount)
    q = chains.backup(process, process.values(policy))
    slopes = gradients.value_gradient(process, policy, process.initial)
    row.exact("RL-24", "∇J at random logits", gradients.theorem(process, policy, visits, q) == slopes, str(odds))
    law = chains.stationary(chains.chain(process, policy))
    average = gradients.theorem(process, policy, law, gradients.differential(process, policy))
    row.exact("RL-24", "∇r̄ at random logits", average == gradients.average_gradient(process, policy), str(odds))


def test_the_exact_derivative_is_the_limit_of_difference_quotients(row):
    """With e^θ raised by the factor 1 + h, θ moves by log(1 + h) = h + O(h²)."""
    process, width = gradients.model("9/10"), fmpq(1, 10**9)
    start = process.initial
    for state in range(3):
        values = []
        for factor in (1 + width, 1 - width):
            odds = tuple(u * factor if s == state else u for s, u in enumerate(gradients.ODDS))
            values.append(mean(start, process.values(gradients.softmax(odds))))
        quotient = (values[0] - values[1]) / (2 * width)
        exact = gradients.value_gradient(process, gradients.softmax(gradients.ODDS), start)[state]
        # Second and third derivatives of J in θ are at most a few times |r|/(1-γ)^4 = 2e4.
        row("RL-24", "central difference", abs(as_float(quotient - exact)), 2e4 * 1e-9, "O(h) with its constant")


def as_float(value: fmpq) -> float:
    return int(value.p) / int(value.q)


def test_a_metric_of_another_shape_is_refused(row):
    with pytest.raises(ValueError, match="no quotient of two affine functions"):
        gradients.moebius_slope(lambda p: p**3, fmpq(1, 2))
    row.exact(
        "RL-24",
        "slope of (1+2p)/(3+p)",
        gradients.moebius_slope(lambda p: (1 + 2 * p) / (3 + p), fmpq(1) / 2) == 5 / fmpq(7, 2) ** 2,
        "5/(3+p)²",
    )
    row.exact("RL-24", "slope of a constant", gradients.moebius_slope(lambda p: fmpq(3), fmpq(1, 3)) == 0, "0")
