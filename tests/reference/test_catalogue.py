"""What commands and menus offer is what the library has."""

import inspect
import re

import pytest

from reference import divergence, planning
from reference.catalogue import (
    PARAMETERS,
    divergence_menu,
    divergence_names,
    named_divergence,
    named_solver,
    solver_names,
    takers,
)
from reference.divergence import KL, Divergence, FermiDirac, JensenShannon, divergence_from_name
from reference.library import chain
from reference.soft import SoftValueIteration


def test_names_are_those_that_the_library_knows():
    with pytest.raises(ValueError, match="expected a divergence among") as refused:
        divergence_from_name("wasserstein")
    listed = re.sub(r" \([^)]*\)", "", str(refused.value))  # names without what they take
    known = listed.partition("among ")[2].partition(", saw")[0].split(", ")
    assert sorted(divergence_names()) == sorted(known)
    assert divergence_names()[0] == "kl"


def test_parameters_reach_the_generators_that_take_them():
    assert "fermi-dirac" in takers("cap")
    assert "kl" not in takers("cap")
    assert named_divergence("fermi-dirac", {"cap": 3.0}) == FermiDirac(3.0)
    assert named_divergence("js", {"cap": 3.0}, strict=False) == JensenShannon()
    with pytest.raises(ValueError, match="expected no cap"):
        named_divergence("js", {"cap": 3.0})
    with pytest.raises(ValueError, match="saw 'jsd'"):
        named_divergence("jsd", {}, strict=False)


def test_the_menu_has_every_generator():
    menu = divergence_menu()
    assert next(iter(menu.items())) == ("kl", KL())
    assert {each.name for each in menu.values()} == set(divergence_names())
    assert len(set(menu.values())) == len(menu)
    for label, generator in menu.items():
        assert label.startswith(generator.name)
    concrete = [
        kind
        for kind in vars(divergence).values()
        if inspect.isclass(kind) and issubclass(kind, Divergence) and not inspect.isabstract(kind)
    ]
    named = {type(each) for each in menu.values()}
    # those without a name of their own are made of others
    assert all(kind in named or not set(inspect.signature(kind).parameters) <= set(PARAMETERS) for kind in concrete)


def test_solvers_are_those_of_planning():
    assert {"value-iteration", "policy-iteration"} <= set(solver_names())
    for name in solver_names():
        solver = named_solver(name, 1e-6)
        assert isinstance(solver, planning.Solver)
        assert solver.solve(chain(3)).error_bound <= 1e-6
    assert named_solver("value-iteration", 1e-6, 0.5) == SoftValueIteration(0.5, 1e-6)


def test_a_solver_without_a_soft_form_is_refused(monkeypatch):
    monkeypatch.delattr("reference.soft.SoftValueIteration")
    with pytest.raises(ValueError, match="no value-iteration for the maximum-entropy problem: expected one of policy"):
        named_solver("value-iteration", 1e-6, 0.5)
