"""Exact solvers for finite decision processes: the truth that deep agents are held against.

NumPy and SciPy in float64. Every solver returns a bound on its error that includes rounding.
"""

from reference.bellman import backup as backup
from reference.bellman import bellman_optimality as bellman_optimality
from reference.bellman import bellman_policy as bellman_policy
from reference.bellman import boltzmann as boltzmann
from reference.bellman import greedy as greedy
from reference.bellman import soft_bellman as soft_bellman
from reference.checks import InvalidMDP as InvalidMDP
from reference.mdp import MDP as MDP
from reference.solution import Solution as Solution
from reference.solution import Status as Status
