"""The contract: what a SAC agent with regressed values and experience weights must compute, held against exact answers.

    pytest tests/contract                                    the shipped agent, in JAX's default precision
    JAX_ENABLE_X64=1 pytest tests/contract                   the same in float64
    pytest tests/contract --implementation module:object     someone else's, through contract/protocol.py
    ... --deviations FILE                                    the same, where some rows are known to differ and why
    ... --quick                                              one parameter set of each test; no certificate
    ... --quick -n 2 --dist loadfile                         the same by two processes: less than a minute

Precisions are float32 and float64; bfloat16, which `deep` does not offer, is in no row.

Every problem is exact in both precisions (contract/problems.py), every expected value is computed in NumPy together
with a bound on its rounding (contract/shadow.py, running_error.py), and every statistical row states its false-alarm
probability. A row carries the id of the claim that it checks; where the quantity belongs to no claim, one of these:

    UP-01  one whole update of tables: critic, targets, policy, value, temperature, weights, in the pinned order
    UP-02  one whole update of small networks, given the same noise
    UP-03  the whole update comes to rest within its budget, so that the fixed-point rows say something
    UP-04  eager, jitted, vmapped and scanned updates agree
    UP-05  rows of mass zero (padding) move nothing
    UP-06  the initial state: targets equal critics, twins differ, temperature as asked
    UP-07  one learning step is insert, sample, update, write back, act; also on n-step rows, and those that LaBER keeps
    UP-08  one whole update of tables with any divergence, value objective and law of beta
    CL-01  the critic's Huber error
    GP-01  the gradient penalty and the derivative of the penalised critic
    RP-01  the public ROER recipe, literally
    JN-01  the snippet of the JS note, literally
    RB-01  replay contents, weights and precision, as a model test against a plain list
    RB-02  replay indices: frequencies, pairs, dependence on the key
    RB-03  indices in proportion to the stored weights, and none of weight zero
    RB-04  the importance correction
    RB-05  a new transition's first weight
    NS-01  n-step rows: rewards, successor, termination and discount of every window
    IN-01  the ring of initial states
    RB-06  the probability that a buffer states for what it drew
    RT-01, RT-02, RT-03  n-step returns, lambda-returns, advantages, discounts zero at an end (contract/beyond)
    PER-01, LAP-01, PAL-01, LAB-01  priorities, losses and expected gradients of the baselines
    DQN-01  deep Q-learning: the target from both networks, the loss's gradient
    DQN-02  one whole update of deep Q-learning on tables, and when the target network moves
    DQN-03  exploration: its schedule, the frequencies of actions, greedy actions
    GAE-01  generalised advantage estimates, terminations and time limits apart
    GAE-02  n-step and Monte Carlo returns, terminations and time limits apart
    OP-01  log-probabilities and entropies of categorical and normal policies
    OP-02  the losses of policy and value and their derivatives; normalised advantages; the minibatches of an epoch
    OP-03  one whole update of REINFORCE, A2C and PPO on tables
    OP-04  the frequencies of actions, over environments and time; greedy actions
    DPG-01  deterministic policies: the smoothed target of one critic or the smaller of two
    DPG-02  one whole update of deterministic policies, and when the actor and the targets move
    DPG-03  deterministic actions, in training and in evaluation
    RN-01  no key is used twice
    RN-02  draws of noise are uncorrelated
    RN-03  the sampler's noise is standard normal

Claims: SAC-01, SAC-05, SAC-06, SAC-07, SAC-13, SAC-14, SAC-15, SAC-16, SAC-18, SAC-23 (targets, policy, temperature,
Polyak), RL-15 (TD error), RL-18, RL-19 (Q-learning, double estimation), RL-24 (policy gradient), RL-31 (the
deterministic policy gradient), FD-01, FD-05 (generators), GUM-01, GUM-04, FD-03 (value regression), OCC-01, OCC-07 (the
flow dual), KL-04, JS-04, JS-10 (relaxed weights), KL-09 (thresholded priorities), PRI-02 (recursion of the weights),
ESS-01 (effective sample fraction), BET-01, BET-03, ESS-02, ESS-03, ESS-04, ESS-05, ESS-11, ESS-14 (laws of beta); and
what the published recipes are known to do: GUM-03, GUM-05, PRI-01, PRI-03, PRI-04, JS-05, JS-20, JS-22.

A run of the whole contract on `deep` in which everything passed and nothing was left out issues a certificate, without
which `python -m deep train` does not start. tests/faults plants faults and checks that the contract sees them.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import pathlib

import pytest
import rows
from contract import deviations, protocol
from hypothesis import Phase, settings

HERE = pathlib.Path(__file__).parent
QUICK_EXAMPLES = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--implementation",
        default="deep",
        metavar="MODULE:OBJECT",
        help="what the contract is held against: `deep`, or a contract.protocol.Implementation as module:object",
    )
    parser.addoption(
        "--deviations",
        type=pathlib.Path,
        metavar="FILE",
        help="rows in which the implementation is known to differ, with reasons; see contract/deviations.py",
    )
    parser.addoption(
        "--quick",
        action="store_true",
        help="one parameter set of every test (which one, --hypothesis-seed decides) and few examples: no certificate",
    )


def _specification(config: pytest.Config) -> str:
    return config.getoption("implementation", "deep")


def _seed(config: pytest.Config) -> int:
    """The number given as --hypothesis-seed; 0 without one."""
    given = str(config.getoption("--hypothesis-seed", None) or "0")
    return int(given) if given.isdecimal() else 0


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick", False):
        settings.register_profile("quick", settings(), max_examples=QUICK_EXAMPLES)
        settings.load_profile("quick")
    if _specification(config) != "deep":
        # Other code is expected to differ here and there: a first example says so at once, a smallest takes minutes.
        unshrunk = tuple(phase for phase in settings().phases if phase is not Phase.shrink)
        settings.register_profile("unshrunk", settings(), phases=unshrunk)
        settings.load_profile("unshrunk")
    file = config.getoption("deviations", None)
    if file is not None:
        deviations.install(config, file, _specification(config))


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """What `deep` does not compute is no part of its contract."""
    return True if collection_path == HERE / "beyond" and _specification(config) == "deep" else None


def pytest_report_header(config: pytest.Config) -> str:
    found = importlib.util.find_spec("deep")
    where = pathlib.Path(found.origin).parent if found and found.origin else "nowhere"
    return f"contract: implementation {_specification(config)}; deep's sources at {where}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --quick, one parameter set of every test of the contract."""
    if not config.getoption("quick", False):
        return
    variants: dict[tuple[pathlib.Path, str], list[pytest.Item]] = {}
    for item in items:
        if HERE in item.path.parents:
            variants.setdefault((item.path, getattr(item, "originalname", item.name)), []).append(item)
    kept = {group[_seed(config) % len(group)].nodeid for group in variants.values()}
    left_out = [item for group in variants.values() for item in group if item.nodeid not in kept]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def stream(request: pytest.FixtureRequest) -> int:
    """What statistical rows add to their seeds: another --hypothesis-seed is another sample."""
    return 1000 * (_seed(request.config) % 2**20)


@pytest.fixture(scope="session")
def implementation(request: pytest.FixtureRequest) -> protocol.Implementation:
    """The implementation under test."""
    try:
        return protocol.load(_specification(request.config))
    except ValueError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture
def offered(implementation: protocol.Implementation, request: pytest.FixtureRequest):
    """`offered("td_error")`: that function of the implementation, or a skip that says it is not offered."""
    watch = request.config.stash.get(rows.WATCH, lambda name, function: function)

    def get(name: str):
        if not implementation.offers(name):
            pytest.skip(f"{implementation.name}: {name} is not offered")
        return watch(name, getattr(implementation, name))

    return get


@pytest.fixture
def known(implementation: protocol.Implementation):
    """`known("kl")`: that divergence, or a skip that says it is not offered; None is plain SAC."""

    def check(divergence: str | None) -> str | None:
        if divergence is not None and divergence not in implementation.divergences:
            pytest.skip(f"{implementation.name}: divergence {divergence} is not offered")
        return divergence

    return check


# -- the certificate --------------------------------------------------------------------------------------------------


class Ledger:
    """What the session's contract tests did, by test function."""

    def __init__(self) -> None:
        self.collected: dict[str, tuple[str, str]] = {}
        self.passed: set[str] = set()
        self.broken: dict[str, str] = {}
        self.deselected = 0
        self.rows: list[dict] = []
        self.sources: str | None = None
        self.verdict = ""

    def shortcomings(self, config: pytest.Config) -> list[str]:
        """Why this run may not issue a certificate; empty when it may."""
        if getattr(config.option, "numprocesses", None):
            return ["several processes ran it, none of them all of it"]
        reasons = []
        if _specification(config) != "deep":
            reasons.append(f"it tested {_specification(config)}, not deep")
        if os.environ.get("JAX_DISABLE_JIT", "0").lower() in ("1", "true", "yes", "on"):
            reasons.append("jit was off, and training runs with it on")
        for nodeid, outcome in self.broken.items():
            reasons.append(f"{nodeid} {outcome}")
        if self.deselected:
            reasons.append(f"{self.deselected} tests were deselected")
        for nodeid in sorted(set(self.collected) - self.passed - set(self.broken)):
            reasons.append(f"{nodeid} did not run")
        for file, function in sorted(_declared() - set(self.collected.values())):
            reasons.append(f"{file}::{function} was not selected")
        return reasons


_LEDGER = pytest.StashKey[Ledger]()


def _declared() -> set[tuple[str, str]]:
    """Every test function and state machine that the contract's files declare."""
    declared = set()
    for file in HERE.glob("test_*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                declared.add((file.name, node.name))
    return declared


def _ledger(config: pytest.Config) -> Ledger:
    return config.stash.setdefault(_LEDGER, Ledger())


def _is_contract(nodeid_path: os.PathLike[str] | str) -> bool:
    return pathlib.Path(nodeid_path).parent == HERE


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_contract(item.path):
            _ledger(item.config).deselected += 1


def pytest_collection_finish(session: pytest.Session) -> None:
    ledger = _ledger(session.config)
    for item in session.items:
        if _is_contract(item.path):
            function = getattr(item, "originalname", None) or item.name
            ledger.collected[item.nodeid] = (item.path.name, function)
    try:
        from deep import certificate
    except ImportError:
        return
    ledger.sources = certificate.source_hash()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    ledger = _ledger(item.config)
    if report.when == "call" and report.passed:
        ledger.passed.add(item.nodeid)
    elif not report.passed:
        ledger.broken.setdefault(item.nodeid, "was skipped" if report.skipped else "failed")
    if report.when == "teardown":
        ledger.rows.extend(json.loads(value) for name, value in report.user_properties if name == "row")
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    ledger = _ledger(session.config)
    if session.config.getoption("collectonly", False):
        return
    reasons = ledger.shortcomings(session.config)
    if not reasons:
        from deep import certificate

        if certificate.source_hash() != ledger.sources:
            reasons.append("the sources of deep changed while it ran")
    if reasons:
        shown = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
        ledger.verdict = f"no certificate: {shown}"
        return
    worst: dict[str, dict] = {}
    for row in ledger.rows:
        kept = worst.get(row["id"])
        if kept is None or row["error"] * kept["bound"] > kept["error"] * row["bound"]:
            worst[row["id"]] = row
    issued = certificate.issue({id: worst[id] for id in sorted(worst)})
    ledger.verdict = f"certificate {issued.id} covers {len(worst)} rows"


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    ledger = _ledger(config)
    if ledger.verdict:
        terminalreporter.section("contract")
        terminalreporter.write_line(ledger.verdict)
