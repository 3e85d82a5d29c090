"""Every setting of a run with its default, its help and its range.

:class:`Config` is the interface of the command line, the contents of ``config.json`` and, with the seed, all that a
run depends on. The text below each field is its help. Defaults are those of the literature: SAC's networks, step sizes
and target entropy -dim(A); ROER's rate and cap (SAC-17, PRI-02, FD-05); PER's and LAP's exponents.
"""

import dataclasses
import math
from typing import Any, Literal, get_args

from deep.errors import InvalidSetting

AgentName = Literal["sac", "dqn", "ddpg", "td3", "reinforce", "a2c", "ppo"]
BootstrapName = Literal["maximum", "double"]
DivergenceName = Literal["none", "kl", "js", "fermi-dirac", "chi2", "hellinger", "reverse-kl", "power"]
ObjectiveName = Literal["conditional", "occupancy", "published", "js-note"]
RecursionName = Literal["additive", "replicator", "none", "published", "js-note"]
UseName = Literal["loss", "sampling"]
BetaName = Literal["fixed", "ess", "kl", "feedback", "feedback-as-printed"]
BaselineName = Literal["uniform", "per", "lap", "pal", "laber"]
CriticLossName = Literal["squared", "huber"]
NetworksName = Literal["standard", "published"]
VariateName = Literal["value", "none"]

ON_POLICY = ("reinforce", "a2c", "ppo")
"""Agents that learn from the steps of their present policy alone and keep no replay."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of one training run."""

    environment: str = "HalfCheetah-v5"
    """Gymnasium id of an environment with the agent's kind of actions, also as package.module:Name-v0."""
    agent: AgentName = "sac"
    """What is trained: sac, for a Box of actions, with all that the divergence and the baselines add to it; or without
    any of that dqn, for Discrete actions; ddpg and td3, for a Box of them, which differ in their presets alone; or
    reinforce, a2c and ppo, for either, which have no replay."""
    preset: str = "roer"
    """Name of the preset whose values the settings below start from (list: python -m deep presets)."""
    seed: int = 0
    """Seed of everything random in the run: initial networks, warm-up, resets, batches, noise, evaluation."""
    steps: int = 1_000_000
    """Environment steps in all; after the warm-up each is followed by updates_per_step updates."""

    discount: float = 0.99
    """Discount gamma in [0, 1)."""
    n_step: int = 1
    """Rewards in a row of the batch before the bootstrap, fewer at the end of an episode; 1 with value_objective
    occupancy."""
    tau: float = 0.005
    """Polyak step of the target critic in (0, 1]: target <- tau * online + (1 - tau) * target."""
    learning_rate: float = 3e-4
    """Adam's step size for critic, actor, value and temperature."""
    batch_size: int = 256
    """Transitions in a batch, drawn with replacement."""
    updates_per_step: int = 1
    """Learning steps after each environment step, each on a batch of its own."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of every network."""
    networks: NetworksName = "standard"
    """Initial values and log-std bounds of the networks: standard, or those of the public ROER code."""
    buffer_size: int = 1_000_000
    """Transitions kept; the oldest is overwritten when the buffer is full."""
    warmup_steps: int = 5_000
    """First steps, with actions uniform on the action box and no update."""
    target_entropy: float | None = None
    """Entropy in nats (of actions scaled to [-1, 1]) that the learned temperature holds; none means -dim(A)."""
    initial_alpha: float = 1.0
    """Temperature alpha at the start, in units of reward."""
    critic_loss: CriticLossName = "squared"
    """Loss of the critic's error: (Q - y)^2 / 2, or linear above huber_width."""
    huber_width: float = 1.0
    """Error above which the Huber loss is linear, in units of reward."""
    gradient_penalty: float = 0.0
    """Coefficient of the mean of max(|dQ/da| - 1, 0)^2 over the batch; 0 leaves it out."""

    bootstrap: BootstrapName = "double"
    """Whose best action dqn's target takes at the next state: maximum the target network's, double the online one's."""
    target_period: int = 1
    """Updates between two steps of dqn's target network; with tau 1 it is a copy of the online one that long."""
    epsilon_start: float = 1.0
    """Probability with which dqn takes a random action after the warm-up."""
    epsilon_final: float = 0.05
    """The same after epsilon_steps steps and from then on."""
    epsilon_steps: int = 10_000
    """Environment steps after the warm-up over which it falls, in a straight line."""

    environments: int = 1
    """Environments in which a2c or ppo collect side by side, each with episodes and seeds of its own."""
    rollout_steps: int = 128
    """Steps of each of them under one policy, from which a2c or ppo then learn; reinforce learns from each episode."""
    trace_decay: float = 0.95
    """Decay lambda in [0, 1] of a2c's and ppo's advantage estimates: 0 trusts V entirely, 1 only the rewards."""
    entropy_bonus: float = 0.0
    """Coefficient of the policy's entropy in the objective of reinforce, a2c and ppo, in units of advantage."""
    gradient_clip: float = 0.5
    """Largest norm of the gradient of policy and of value for reinforce, a2c and ppo; longer ones are scaled down."""
    control_variate: VariateName = "value"
    """What reinforce subtracts from the returns: the value network's estimate of them, or none."""
    epochs: int = 10
    """Times that ppo goes through a rollout."""
    minibatches: int = 4
    """Parts of equal size into which ppo deals a rollout in each epoch, one gradient step for each."""
    ratio_clip: float = 0.2
    """How far ppo's ratio of probabilities may leave one before more of it counts as no gain."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on the actions that ddpg and td3 take in training, on the scale [-1, 1]."""
    critics: int = 2
    """Critics of ddpg and td3, 1 or 2; the target is that of the smaller value."""
    target_noise: float = 0.2
    """Standard deviation of the noise on the next action in their target, on the scale [-1, 1]; 0 for none."""
    target_noise_clip: float = 0.5
    """Bound of that noise."""
    actor_period: int = 2
    """Updates between two steps of their actor, and of all their target networks."""

    divergence: DivergenceName = "kl"
    """Generator of the experience weights; none is plain SAC or a baseline, without value network."""
    fermi_dirac_cap: float = 2.0
    """Largest ratio that the fermi-dirac divergence admits; above 1."""
    power: float = 1.5
    """Exponent alpha > 0 of the power divergence, whose ratios are (1 + z - nu)_+^alpha; 1 is chi2."""
    ratio_cap: float | None = None
    """Restrict the divergence to ratios up to this cap, above 1; none leaves it as it is."""
    value_objective: ObjectiveName = "conditional"
    """What V minimises: conditional regresses it on Q; occupancy is the dual of the flow problem (the TD error is
    exact where the dynamics are deterministic, as MuJoCo's are); published and js-note are literal."""
    value_cap: float | None = None
    """Argument z = (Q - V)/beta above which the value loss is continued linearly, below the pole if the divergence has
    one; none means where ratios reach e^7 = 1097, which is 7 for kl."""
    action_noise: float = 0.0
    """Standard deviation of the noise on the stored actions in the value's target, on the scale [-1, 1]; 0 for none."""
    action_noise_clip: float = 0.5
    """Bound of that noise."""
    initial_states: int = 10_000
    """First observations of episodes kept for the occupancy objective."""

    weight_recursion: RecursionName = "additive"
    """How the stored weight follows the ratio: additive w <- (1 - lambda) w + lambda ratio; replicator multiplies; none
    takes the ratio itself; published and js-note are literal."""
    weight_rate: float = 0.01
    """Rate lambda in (0, 1] of the recursion."""
    weight_use: UseName = "loss"
    """Where the weights act: on the critic's loss under uniform sampling, or as probabilities of sampling."""
    ratio_min: float = 1.0
    """Smallest exp(td / beta) of the published recursion; at 1 every negative TD error counts alike (PRI-04)."""
    ratio_max: float = 50.0
    """Largest exp(td / beta) of the published recursion (PRI-04)."""
    weight_floor: float = 1.0
    """Smallest stored weight of the published recursion; new experience has weight 1 at its first use (PRI-04)."""

    beta: float = 16.0
    """Temperature of the occupancy regulariser, in units of reward: small beta weighs experience more unevenly.

    On HalfCheetah-v5 the published 4 learns at half the speed of sac over the first 1e5 steps, 16 at the same speed."""
    beta_law: BetaName = "fixed"
    """fixed; solved for in every update so that the batch's effective sample size (ess) or its KL divergence from the
    uniform one (kl) meets its target; or steered by feedback, with the stable sign or, unstable, as printed."""
    ess_target: float = 0.5
    """Effective sample size to hold, as a fraction of the batch in (0, 1)."""
    kl_target: float = 0.5
    """KL divergence of the weighted batch from the uniform one to hold, in nats."""
    feedback_rate: float = 0.1
    """Rate eta of the feedback law."""
    feedback_smoothing: float = 0.05
    """Step rho in (0, 1] of the moving average that the feedback law reads."""
    beta_min: float = 1e-3
    """Smallest beta of every law but fixed."""
    beta_max: float = 1e3
    """Largest beta of every law but fixed."""

    baseline: BaselineName = "uniform"
    """Replay without a divergence: uniform, or one of per, lap, pal, laber."""
    priority_exponent: float = 0.6
    """Exponent alpha of the priorities of per, lap and pal."""
    priority_offset: float = 1e-6
    """Constant epsilon that per adds to |td error|."""
    importance_exponent: float = 0.0
    """Exponent of the importance correction where transitions are sampled in proportion: 0 for none, 1 for complete."""
    importance_final: float | None = None
    """Its value at the end of the run, to which it grows linearly; none keeps it."""
    candidates: int = 4
    """Batches that laber draws for each one that it keeps."""

    dataset: str | None = None
    """Transitions to begin with: an .npz file, or minari:ID."""
    reward_shift: float = 0.0
    """Added to every reward, of the data set and of the environment (AntMaze is trained with -1)."""
    pretrain_steps: int = 0
    """Updates on the data set before the first environment step."""

    evaluate_every: int = 5_000
    """Steps between evaluations; the last step is always evaluated."""
    evaluation_episodes: int = 10
    """Episodes of an evaluation, with the policy's mode, in environments of their own."""
    log_every: int = 1_000
    """Steps between two lines of losses in the log."""
    checkpoint_every: int = 25_000
    """Steps between checkpoints; one is also written at the end, on SIGTERM and on Ctrl-C."""

    def __post_init__(self) -> None:
        """Raise InvalidSetting for the first setting outside its range, and for pairs that contradict each other.

        A setting that the agent does not read has to be left at its default.
        """
        for name, expected, holds in _RANGES:
            value = getattr(self, name)
            if not holds(value):
                raise InvalidSetting(f"--{name.replace('_', '-')}: expected {expected}, saw {value!r}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                flag = name.replace("_", "-")
                raise InvalidSetting(f"--{flag}: expected one of {', '.join(choices)}, saw {value!r}")
        for field in dataclasses.fields(Config):
            readers, value = _READ_BY.get(field.name), getattr(self, field.name)
            if readers is not None and self.agent not in readers and value != field.default:
                raise InvalidSetting(
                    f"--{field.name.replace('_', '-')}: read with --agent {' or '.join(readers)} alone; expected its "
                    f"default {field.default!r} with --agent {self.agent}, saw {value!r}"
                )
        for flag, expected, contradicts in _CONTRADICTIONS:
            if contradicts(self):
                seen = getattr(self, flag.replace("-", "_"))
                raise InvalidSetting(f"--{flag}: {expected}, saw {seen!r}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(minimum: int):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum


_POSITIVE = ("a number > 0", lambda value: _number(value) and value > 0)
_NOT_NEGATIVE = ("a number >= 0", lambda value: _number(value) and value >= 0)
_RATE = ("a number in (0, 1]", lambda value: _number(value) and 0 < value <= 1)
_PROBABILITY = ("a number in [0, 1]", lambda value: _number(value) and 0 <= value <= 1)
_RANGES = (
    ("environment", "the id of an environment", lambda value: isinstance(value, str) and bool(value.strip())),
    ("seed", "a whole number from 0 to 2^32 - 1", lambda value: _count(0)(value) and value < 2**32),
    ("steps", "a whole number from 1 to 2^31 - 1", lambda value: _count(1)(value) and value < 2**31),
    ("discount", "a number in [0, 1)", lambda value: _number(value) and 0 <= value < 1),
    ("n_step", "a whole number from 1 to 100", lambda value: _count(1)(value) and value <= 100),
    ("tau", *_RATE),
    ("learning_rate", *_POSITIVE),
    ("batch_size", "a whole number >= 1", _count(1)),
    ("updates_per_step", "a whole number >= 1", _count(1)),
    ("hidden", "one or more whole numbers >= 1", lambda value: len(value) > 0 and all(map(_count(1), value))),
    ("buffer_size", "a whole number from 1 to 2^31 - 1", lambda value: _count(1)(value) and value < 2**31),
    ("warmup_steps", "a whole number >= 1", _count(1)),
    ("target_entropy", "a finite number, or none", lambda value: value is None or _number(value)),
    ("initial_alpha", *_POSITIVE),
    ("huber_width", *_POSITIVE),
    ("gradient_penalty", *_NOT_NEGATIVE),
    ("target_period", "a whole number from 1 to 2^24", lambda value: _count(1)(value) and value <= 2**24),
    ("epsilon_start", *_PROBABILITY),
    ("epsilon_final", *_PROBABILITY),
    ("epsilon_steps", "a whole number >= 1", _count(1)),
    ("environments", "a whole number >= 1", _count(1)),
    ("rollout_steps", "a whole number >= 1", _count(1)),
    ("trace_decay", *_PROBABILITY),
    ("entropy_bonus", *_NOT_NEGATIVE),
    ("gradient_clip", *_POSITIVE),
    ("epochs", "a whole number >= 1", _count(1)),
    ("minibatches", "a whole number >= 1", _count(1)),
    ("ratio_clip", *_POSITIVE),
    ("exploration_noise", *_NOT_NEGATIVE),
    ("critics", "1 or 2", lambda value: _count(1)(value) and value <= 2),
    ("target_noise", *_NOT_NEGATIVE),
    ("target_noise_clip", *_POSITIVE),
    ("actor_period", "a whole number from 1 to 2^24", lambda value: _count(1)(value) and value <= 2**24),
    ("fermi_dirac_cap", "a number > 1", lambda value: _number(value) and value > 1),
    ("power", *_POSITIVE),
    ("ratio_cap", "a number > 1, or none", lambda value: value is None or (_number(value) and value > 1)),
    ("value_cap", "a number > 0, or none", lambda value: value is None or (_number(value) and value > 0)),
    ("action_noise", *_NOT_NEGATIVE),
    ("action_noise_clip", *_POSITIVE),
    ("initial_states", "a whole number >= 1", _count(1)),
    ("weight_rate", *_RATE),
    ("ratio_min", *_POSITIVE),
    ("ratio_max", *_POSITIVE),
    ("weight_floor", *_NOT_NEGATIVE),
    ("beta", *_POSITIVE),
    ("ess_target", "a number in (0, 1)", lambda value: _number(value) and 0 < value < 1),
    ("kl_target", *_POSITIVE),
    ("feedback_rate", *_POSITIVE),
    ("feedback_smoothing", *_RATE),
    ("beta_min", *_POSITIVE),
    ("beta_max", *_POSITIVE),
    ("priority_exponent", *_NOT_NEGATIVE),
    ("priority_offset", *_NOT_NEGATIVE),
    ("importance_exponent", "a number in [0, 1]", lambda value: _number(value) and 0 <= value <= 1),
    (
        "importance_final",
        "a number in [0, 1], or none",
        lambda value: value is None or (_number(value) and 0 <= value <= 1),
    ),
    ("candidates", "a whole number >= 2", _count(2)),
    (
        "dataset",
        "a file or minari:ID, or none",
        lambda value: value is None or (isinstance(value, str) and bool(value)),
    ),
    ("reward_shift", "a finite number", _number),
    ("pretrain_steps", "a whole number >= 0", _count(0)),
    ("evaluate_every", "a whole number >= 1", _count(1)),
    ("evaluation_episodes", "a whole number >= 1", _count(1)),
    ("log_every", "a whole number >= 1", _count(1)),
    ("checkpoint_every", "a whole number >= 1", _count(1)),
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "agent": get_args(AgentName),
    "bootstrap": get_args(BootstrapName),
    "networks": get_args(NetworksName),
    "critic_loss": get_args(CriticLossName),
    "divergence": get_args(DivergenceName),
    "value_objective": get_args(ObjectiveName),
    "weight_recursion": get_args(RecursionName),
    "weight_use": get_args(UseName),
    "beta_law": get_args(BetaName),
    "baseline": get_args(BaselineName),
    "control_variate": get_args(VariateName),
}
_OF_DQN = ("bootstrap", "target_period", "epsilon_start", "epsilon_final", "epsilon_steps")
_OF_DETERMINISTIC = ("exploration_noise", "critics", "target_noise", "target_noise_clip", "actor_period")
_OF_SAC = (
    *("networks", "target_entropy", "initial_alpha", "gradient_penalty"),
    *("fermi_dirac_cap", "power", "ratio_cap", "value_objective", "value_cap", "action_noise", "action_noise_clip"),
    *("weight_recursion", "weight_rate", "weight_use", "ratio_min", "ratio_max", "weight_floor"),
    *("beta", "beta_law", "ess_target", "kl_target", "feedback_rate", "feedback_smoothing", "beta_min", "beta_max"),
    *("baseline", "priority_exponent", "priority_offset", "importance_exponent", "importance_final", "candidates"),
)
_OF_REPLAY = (
    *("n_step", "tau", "batch_size", "updates_per_step", "buffer_size", "warmup_steps", "critic_loss", "huber_width"),
    *("initial_states", "dataset", "pretrain_steps"),
)
_READ_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_DQN, ("dqn",)),
    **dict.fromkeys(_OF_DETERMINISTIC, ("ddpg", "td3")),
    **dict.fromkeys(_OF_SAC, ("sac",)),
    **dict.fromkeys(_OF_REPLAY, tuple(name for name in get_args(AgentName) if name not in ON_POLICY)),
    **dict.fromkeys(("environments", "rollout_steps", "trace_decay"), ("a2c", "ppo")),
    **dict.fromkeys(("entropy_bonus", "gradient_clip"), ON_POLICY),
    **dict.fromkeys(("epochs", "minibatches", "ratio_clip"), ("ppo",)),
    "control_variate": ("reinforce",),
}
"""Settings that not every agent reads. One that is set for an agent that ignores it is refused."""
_CONTRADICTIONS = (
    (
        "steps",
        "expected a multiple of --environments, which step together",
        lambda config: config.steps % config.environments > 0,
    ),
    (
        "minibatches",
        "expected a divisor of --rollout-steps times --environments",
        lambda config: config.agent == "ppo" and config.rollout_steps * config.environments % config.minibatches > 0,
    ),
    (
        "divergence",
        "expected none unless with --agent sac: no other agent weighs its experience",
        lambda config: config.agent != "sac" and config.divergence != "none",
    ),
    (
        "baseline",
        "the baselines weigh by critic errors, without a divergence (--divergence none)",
        lambda config: config.baseline != "uniform" and config.divergence != "none",
    ),
    (
        "n-step",
        "expected 1 with --value-objective occupancy, whose dual is that of the flow of single steps: rows of k steps "
        "have the flow of a process seen at every k-th step",
        lambda config: config.n_step > 1 and config.divergence != "none" and config.value_objective == "occupancy",
    ),
    ("ratio-max", "expected at least --ratio-min", lambda config: config.ratio_max < config.ratio_min),
    ("beta-max", "expected more than --beta-min", lambda config: config.beta_max <= config.beta_min),
    (
        "pretrain-steps",
        "there is nothing to learn from before the first step without --dataset",
        lambda config: config.pretrain_steps > 0 and config.dataset is None,
    ),
)


def to_json(config: Config) -> dict[str, Any]:
    """The settings as JSON values."""
    return {**dataclasses.asdict(config), "hidden": list(config.hidden)}


def from_json(values: dict[str, Any], where: str) -> Config:
    """Settings read back; InvalidSetting names what is unknown, missing or out of range, and the file."""
    known = {field.name for field in dataclasses.fields(Config)}
    unknown, missing = sorted(values.keys() - known), sorted(known - values.keys())
    if unknown or missing:
        problem = f"unknown setting {unknown[0]!r}" if unknown else f"the setting {missing[0]!r} is missing"
        raise InvalidSetting(f"{where}: {problem}; it was written by another version of this package")
    try:
        return Config(**{**values, "hidden": tuple(values["hidden"])})
    except (InvalidSetting, TypeError) as error:
        raise InvalidSetting(f"{where}: {error}") from error
