"""Exact solvers for finite decision processes: the truth that deep agents are held against.

NumPy and SciPy in float64. Every solver returns a bound on its error that includes rounding.
"""

from reference.bellman import backup as backup
from reference.bellman import bellman_optimality as bellman_optimality
from reference.bellman import bellman_policy as bellman_policy
from reference.bellman import boltzmann as boltzmann
from reference.bellman import greedy as greedy
from reference.bellman import optimality_residual as optimality_residual
from reference.bellman import policy_chain as policy_chain
from reference.bellman import policy_residual as policy_residual
from reference.bellman import policy_rewards as policy_rewards
from reference.bellman import soft_bellman as soft_bellman
from reference.bellman import soft_residual as soft_residual
from reference.checks import InvalidMDP as InvalidMDP
from reference.conditional import ConditionalSolution as ConditionalSolution
from reference.conditional import conditional_ratio as conditional_ratio
from reference.conditional import conditional_value as conditional_value
from reference.conditional import gumbel_value as gumbel_value
from reference.divergence import KL as KL
from reference.divergence import Divergence as Divergence
from reference.divergence import DomainError as DomainError
from reference.divergence import FermiDirac as FermiDirac
from reference.divergence import JensenShannon as JensenShannon
from reference.divergence import divergence_from_name as divergence_from_name
from reference.evaluation import evaluate_policy as evaluate_policy
from reference.library import NamedMDP as NamedMDP
from reference.library import chain as chain
from reference.library import cliff as cliff
from reference.library import from_gymnasium as from_gymnasium
from reference.library import garnet as garnet
from reference.library import gridworld as gridworld
from reference.library import named as named
from reference.mdp import MDP as MDP
from reference.occupancy import flow_residual as flow_residual
from reference.occupancy import occupancy_bound as occupancy_bound
from reference.occupancy import occupancy_measure as occupancy_measure
from reference.occupancy import policy_from_occupancy as policy_from_occupancy
from reference.occupancy import recurrent_classes as recurrent_classes
from reference.occupancy import stationary_distribution as stationary_distribution
from reference.planning import PolicyIteration as PolicyIteration
from reference.planning import Solver as Solver
from reference.planning import ValueIteration as ValueIteration
from reference.planning import solve as solve
from reference.soft import SoftPolicyIteration as SoftPolicyIteration
from reference.soft import SoftValueIteration as SoftValueIteration
from reference.soft import solve_soft as solve_soft
from reference.solution import Solution as Solution
from reference.solution import Status as Status
from reference.weights import Weights as Weights
from reference.weights import effective_sample_size as effective_sample_size
from reference.weights import optimal_weights as optimal_weights
from reference.weights import relaxed_objective as relaxed_objective
from reference.weights import weights_at as weights_at
