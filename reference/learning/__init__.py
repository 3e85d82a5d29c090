"""Sampled methods, each beside the exact quantity that it estimates: chapters C5 to C10 of the course notes.

    C5  `monte_carlo`                     exact moments of returns (`returns`), exact bias of every visit (`visits`)
    C6  `stochastic_approximation`, `gradient_descent`, `schedules`     exact mean squares, a bound without asymptotics
    C7  `temporal_difference`, `sarsa`, `q_learning`, `synchronous`     exact expected updates and fixed points
                                          (`operators`), exact learning curves (`moments`), and a proven bound on the
                                          error of a run, step by step (`contraction`)
    C8  `semi_gradient`, `features`       exact expected updates, projected fixed points, stability (`linear`), exact
                                          moments of the weights (`linear_moments`), a proven bound on them along a
                                          run (`linear_envelope`), what other objectives find (`objectives`), and what
                                          diverges (`counterexamples`)
    C9  `softmax`, `policy_gradient`      exact gradients of three metrics, with bounds; `reinforce` and `baselines`,
                                          beside the exact law of their estimates (`gradient_moments`)
    C10 `actor_critic`, `advantages`, `importance`, `off_policy`, `deterministic`     exact biases, moments, fields and
                                          gradients; ascent to the Riccati gain at a proven rate; what a run of any
                                          sampled policy gradient is bound to gain (`gains`)

NumPy only; every function takes a `numpy.random.Generator`, and arrays begin with the axis of independent replications.
A `Task` is an `MDP` to be sampled; `undiscounted` gives values where episodes end and nothing is discounted;
`textbook` has Sutton and Barto's walks, cliff and gambler.
"""

from reference.learning.actor_critic import ActorStep as ActorStep
from reference.learning.actor_critic import Fields as Fields
from reference.learning.actor_critic import a2c as a2c
from reference.learning.actor_critic import a2c_fields as a2c_fields
from reference.learning.actor_critic import actor_field as actor_field
from reference.learning.actor_critic import off_policy_a2c as off_policy_a2c
from reference.learning.actor_critic import qac as qac
from reference.learning.actor_critic import qac_fields as qac_fields
from reference.learning.advantages import AdvantageMap as AdvantageMap
from reference.learning.advantages import Trajectories as Trajectories
from reference.learning.advantages import advantage_function as advantage_function
from reference.learning.advantages import expected_gae as expected_gae
from reference.learning.advantages import gae_bias as gae_bias
from reference.learning.advantages import gae_map as gae_map
from reference.learning.advantages import n_step_map as n_step_map
from reference.learning.advantages import opposite_bandits as opposite_bandits
from reference.learning.advantages import sample_trajectories as sample_trajectories
from reference.learning.baselines import episode_baseline as episode_baseline
from reference.learning.baselines import optimal_baseline as optimal_baseline
from reference.learning.baselines import q_values as q_values
from reference.learning.baselines import score_covariance as score_covariance
from reference.learning.baselines import step_baseline as step_baseline
from reference.learning.baselines import value_baseline as value_baseline
from reference.learning.contraction import TargetNoise as TargetNoise
from reference.learning.contraction import action_noise as action_noise
from reference.learning.contraction import concentrated as concentrated
from reference.learning.contraction import enveloped as enveloped
from reference.learning.contraction import enveloped_windows as enveloped_windows
from reference.learning.contraction import state_noise as state_noise
from reference.learning.counterexamples import Counterexample as Counterexample
from reference.learning.counterexamples import baird as baird
from reference.learning.counterexamples import noisy_target as noisy_target
from reference.learning.counterexamples import ring as ring
from reference.learning.counterexamples import w_to_2w as w_to_2w
from reference.learning.deterministic import Ascent as Ascent
from reference.learning.deterministic import DeterministicGradient as DeterministicGradient
from reference.learning.deterministic import RiccatiDistance as RiccatiDistance
from reference.learning.deterministic import ascend as ascend
from reference.learning.deterministic import deterministic_gradient as deterministic_gradient
from reference.learning.deterministic import domination as domination
from reference.learning.deterministic import gain_difference as gain_difference
from reference.learning.deterministic import riccati_distance as riccati_distance
from reference.learning.features import aggregated as aggregated
from reference.learning.features import one_hot as one_hot
from reference.learning.features import per_action as per_action
from reference.learning.gains import Gain as Gain
from reference.learning.gains import Prospects as Prospects
from reference.learning.gains import actor_gains as actor_gains
from reference.learning.gains import domination_constant as domination_constant
from reference.learning.gains import martingale_bound as martingale_bound
from reference.learning.gains import prospects as prospects
from reference.learning.gains import reinforce_gains as reinforce_gains
from reference.learning.gains import smoothness as smoothness
from reference.learning.gradient_descent import LeastSquares as LeastSquares
from reference.learning.gradient_descent import descend as descend
from reference.learning.gradient_descent import descent_moments as descent_moments
from reference.learning.gradient_moments import GradientMoments as GradientMoments
from reference.learning.gradient_moments import gradient_moments as gradient_moments
from reference.learning.importance import ImportanceMoments as ImportanceMoments
from reference.learning.importance import NotCovered as NotCovered
from reference.learning.importance import importance_estimates as importance_estimates
from reference.learning.importance import importance_moments as importance_moments
from reference.learning.importance import importance_ratios as importance_ratios
from reference.learning.importance import weight_second_moment as weight_second_moment
from reference.learning.linear import ApproximationBounds as ApproximationBounds
from reference.learning.linear import LinearSolution as LinearSolution
from reference.learning.linear import LinearSystem as LinearSystem
from reference.learning.linear import Stability as Stability
from reference.learning.linear import approximation_bounds as approximation_bounds
from reference.learning.linear import expected_semi_gradient as expected_semi_gradient
from reference.learning.linear import law_norm as law_norm
from reference.learning.linear import modulus as modulus
from reference.learning.linear import on_policy_law as on_policy_law
from reference.learning.linear import pair_law as pair_law
from reference.learning.linear import projected_fixed_point as projected_fixed_point
from reference.learning.linear import projection as projection
from reference.learning.linear import spectral_radius as spectral_radius
from reference.learning.linear import stability as stability
from reference.learning.linear import td_system as td_system
from reference.learning.linear_envelope import WeightEnvelope as WeightEnvelope
from reference.learning.linear_envelope import weight_envelope as weight_envelope
from reference.learning.linear_moments import Outcomes as Outcomes
from reference.learning.linear_moments import independent_td as independent_td
from reference.learning.linear_moments import pair_outcomes as pair_outcomes
from reference.learning.linear_moments import td_outcomes as td_outcomes
from reference.learning.linear_moments import weight_moments as weight_moments
from reference.learning.moments import ErrorMoments as ErrorMoments
from reference.learning.moments import td_error_moments as td_error_moments
from reference.learning.monte_carlo import Episodes as Episodes
from reference.learning.monte_carlo import epsilon_greedy_control as epsilon_greedy_control
from reference.learning.monte_carlo import exploring_starts as exploring_starts
from reference.learning.monte_carlo import mc_basic as mc_basic
from reference.learning.monte_carlo import mc_evaluate as mc_evaluate
from reference.learning.monte_carlo import returns_to_go as returns_to_go
from reference.learning.monte_carlo import sample_episodes as sample_episodes
from reference.learning.monte_carlo import visit_sums as visit_sums
from reference.learning.objectives import action_values as action_values
from reference.learning.objectives import bellman_residual_minimiser as bellman_residual_minimiser
from reference.learning.objectives import dqn_objective as dqn_objective
from reference.learning.objectives import fitted_q_step as fitted_q_step
from reference.learning.objectives import squared_error as squared_error
from reference.learning.objectives import squared_error_minimiser as squared_error_minimiser
from reference.learning.off_policy import OffPolicyGradient as OffPolicyGradient
from reference.learning.off_policy import PolicyGradientSamples as PolicyGradientSamples
from reference.learning.off_policy import off_policy_gradient as off_policy_gradient
from reference.learning.off_policy import off_policy_samples as off_policy_samples
from reference.learning.operators import Affine as Affine
from reference.learning.operators import best_next as best_next
from reference.learning.operators import double_q_operator as double_q_operator
from reference.learning.operators import epsilon_soft as epsilon_soft
from reference.learning.operators import epsilon_soft_operator as epsilon_soft_operator
from reference.learning.operators import epsilon_soft_optimum as epsilon_soft_optimum
from reference.learning.operators import expected_sarsa_operator as expected_sarsa_operator
from reference.learning.operators import n_step_operator as n_step_operator
from reference.learning.operators import optimal_values as optimal_values
from reference.learning.operators import policy_values as policy_values
from reference.learning.operators import q_operator as q_operator
from reference.learning.operators import sarsa_operator as sarsa_operator
from reference.learning.operators import target_variance as target_variance
from reference.learning.operators import td_operator as td_operator
from reference.learning.policy_gradient import Direction as Direction
from reference.learning.policy_gradient import PolicyGradient as PolicyGradient
from reference.learning.policy_gradient import average_gradient as average_gradient
from reference.learning.policy_gradient import reinforce_direction as reinforce_direction
from reference.learning.policy_gradient import start_gradient as start_gradient
from reference.learning.policy_gradient import stationary_gradient as stationary_gradient
from reference.learning.q_learning import double_bias as double_bias
from reference.learning.q_learning import double_q_learning as double_q_learning
from reference.learning.q_learning import judged as judged
from reference.learning.q_learning import maximisation_bias as maximisation_bias
from reference.learning.q_learning import q_learning as q_learning
from reference.learning.reinforce import Baseline as Baseline
from reference.learning.reinforce import Update as Update
from reference.learning.reinforce import episode_gradients as episode_gradients
from reference.learning.reinforce import reinforce as reinforce
from reference.learning.returns import ReturnMoments as ReturnMoments
from reference.learning.returns import return_moments as return_moments
from reference.learning.returns import truncation_bias as truncation_bias
from reference.learning.sarsa import expected_sarsa as expected_sarsa
from reference.learning.sarsa import expected_value as expected_value
from reference.learning.sarsa import n_step_sarsa as n_step_sarsa
from reference.learning.sarsa import sarsa as sarsa
from reference.learning.schedules import StepSizes as StepSizes
from reference.learning.schedules import constant as constant
from reference.learning.schedules import noise_weights as noise_weights
from reference.learning.schedules import rescaled_linear as rescaled_linear
from reference.learning.semi_gradient import linear_monte_carlo as linear_monte_carlo
from reference.learning.semi_gradient import linear_q_learning as linear_q_learning
from reference.learning.semi_gradient import linear_sarsa as linear_sarsa
from reference.learning.semi_gradient import linear_td as linear_td
from reference.learning.softmax import Softmax as Softmax
from reference.learning.softmax import tabular as tabular
from reference.learning.stochastic_approximation import linear_mean_square as linear_mean_square
from reference.learning.stochastic_approximation import robbins_monro as robbins_monro
from reference.learning.stochastic_approximation import subgaussian_envelope as subgaussian_envelope
from reference.learning.synchronous import Rule as Rule
from reference.learning.synchronous import expected_sarsa_rule as expected_sarsa_rule
from reference.learning.synchronous import n_step_noise as n_step_noise
from reference.learning.synchronous import n_step_rule as n_step_rule
from reference.learning.synchronous import q_learning_rule as q_learning_rule
from reference.learning.synchronous import synchronous as synchronous
from reference.learning.synchronous import synchronous_envelope as synchronous_envelope
from reference.learning.task import Behaviour as Behaviour
from reference.learning.task import Step as Step
from reference.learning.task import Task as Task
from reference.learning.task import bootstrapped as bootstrapped
from reference.learning.task import draw as draw
from reference.learning.task import epsilon_greedy as epsilon_greedy
from reference.learning.task import exploring as exploring
from reference.learning.task import following as following
from reference.learning.temporal_difference import n_step_td as n_step_td
from reference.learning.temporal_difference import td as td
from reference.learning.textbook import Gambler as Gambler
from reference.learning.textbook import RandomWalk as RandomWalk
from reference.learning.textbook import cliff_walking as cliff_walking
from reference.learning.textbook import episode_returns as episode_returns
from reference.learning.textbook import gambler as gambler
from reference.learning.textbook import greedy_path as greedy_path
from reference.learning.textbook import random_walk as random_walk
from reference.learning.textbook import smallest_stakes as smallest_stakes
from reference.learning.textbook import walk_errors as walk_errors
from reference.learning.undiscounted import undiscounted_optimum as undiscounted_optimum
from reference.learning.undiscounted import undiscounted_values as undiscounted_values
from reference.learning.visits import Loops as Loops
from reference.learning.visits import every_visit_mean as every_visit_mean
from reference.learning.visits import loops as loops
from reference.learning.visits import visit_value as visit_value
