"""A decision process under one's fingers: `python -m reference studio gridworld:4,5`.

A marimo application: sliders for discount, temperature, divergence and behavior policy; values, occupancies, the three
ratios, effective sample size and the two feedback laws of beta answer at once. Nothing is computed here that the
solvers of this package do not compute. Also a notebook: `marimo edit` opens it.
"""

import marimo

app = marimo.App(width="medium", app_title="roer studio")

with app.setup:
    import functools

    import marimo as mo
    import numpy as np

    from reference import figures, figures_ratios
    from reference.catalogue import divergence_menu
    from reference.planning import solve
    from reference.ratios import three_ratios
    from reference.sources import load_mdp, uniform_policy
    from reference.temperature import InfeasibleTarget, beta_for_effective_sample_fraction
    from reference.temperature_feedback import FeedbackLaw
    from reference.weights import optimal_weights

    PROCESSES = ("gridworld:4,5", "cliff:3,6", "chain:8", "garnet:12,3,3,0", "recycling-robot")
    DIVERGENCES = divergence_menu()
    BESIDE = ("kl", "js")  # drawn with the chosen one, for comparison
    CURVES = (5.2, 3.5)  # inches: two beside each other on a page
    MAP = 3.4  # inches: three beside each other
    STEPS = 80  # of a feedback law


@app.function
def compared(chosen):
    """The chosen generator, and those that are always drawn with it."""
    return list(dict.fromkeys([chosen, *(DIVERGENCES[label] for label in BESIDE)]))


@app.function
def effective_share(law, ratio):
    """`1 / E w^2`, the effective share of the data (ESS-01)."""
    return 1.0 / float(np.nansum(law * ratio**2))


@app.function
def drawn(inches, draw, title=None):
    """The figure that `draw(ax)` makes, under a title of its own if there is one."""
    made, ax = figures_ratios.figure(inches)
    draw(ax)
    if title is not None:
        ax.set_title(title)
    return mo.as_html(made)


@app.cell(hide_code=True)
def _():
    mo.md(r"""
    # One process, three ratios

    A behavior policy $\pi_D$ meets the pairs of a process with law $D$. Regularisation of strength $\beta$ asks which
    law $d$ to prefer, and three ratios $w = d/D$ answer to that name: **relaxed** (advantages as fixed coefficients,
    KL-04), **conditional** (close to $\pi_D$ in every state, OCC-06) and **occupancy** (the law of a policy, OCC-01).
    """)
    return


@app.cell(hide_code=True)
def _():
    _named = mo.cli_args().get("process")
    _choices = list(dict.fromkeys([*([str(_named)] if _named else []), *PROCESSES]))
    process = mo.ui.dropdown(_choices, value=_choices[0], label="process", allow_select_none=False)
    divergence = mo.ui.dropdown(DIVERGENCES, value=next(iter(DIVERGENCES)), label="divergence", allow_select_none=False)
    discount = mo.ui.slider(0.0, 0.99, 0.01, value=0.9, label="discount γ", show_value=True)
    greediness = mo.ui.slider(0.0, 0.95, 0.05, value=0.5, label="optimal share of the behavior", show_value=True)
    log_beta = mo.ui.slider(-2.0, 2.0, 0.05, value=-0.5, label="log10 of β", show_value=True)
    mo.vstack([mo.hstack([process, divergence], justify="start"), discount, greediness, log_beta])
    return discount, divergence, greediness, log_beta, process


@app.cell(hide_code=True)
def _(discount, divergence, greediness, log_beta, process):
    mdp = load_mdp(process.value, discount.value)
    optimal = solve(mdp)
    beta = 10.0**log_beta.value
    _mixed = greediness.value * optimal.policy + (1.0 - greediness.value) * uniform_policy(mdp)
    _said = ""
    try:
        ratios = three_ratios(mdp, _mixed / _mixed.sum(axis=1, keepdims=True), beta, divergence.value)
    except ValueError as _error:  # what the solvers refuse, they refuse in words
        ratios, _said = None, str(_error)
    mo.stop(ratios is None, mo.callout(mo.md(f"**No answer for this choice.** {_said}"), kind="warn"))
    return beta, mdp, optimal, ratios


@app.cell(hide_code=True)
def _(beta, mdp, optimal, ratios):
    _start = float(mdp.initial @ optimal.values)
    _behavior = float(mdp.initial @ ratios.behavior.evaluation.values)
    _flow, _relaxed, _law = ratios.occupancy, ratios.relaxed, ratios.behavior.law
    _shares = {
        "relaxed": _relaxed.effective_sample_fraction,
        "conditional": effective_share(_law, ratios.conditional.ratio),
        "occupancy": effective_share(_law, _flow.ratio),
    }
    mo.hstack(
        [
            mo.stat(f"{_start:.5f}", label="optimal value", caption=f"error ≤ {optimal.error_bound:.0e}"),
            mo.stat(f"{_behavior:.5f}", label="value of the behavior"),
            mo.stat(f"{beta:.4g}", label="β"),
            *[
                mo.stat(f"{share:.5f}", label=f"effective share, {name}", caption="ESS/n = 1 / E w²")
                for name, share in _shares.items()
            ],
            mo.stat(f"{_relaxed.multiplier:.5f}", label="multiplier ν", caption=f"± {_relaxed.multiplier_error:.0e}"),
            mo.stat(f"{_flow.dual:.5f}", label="regularised optimum", caption=f"gap ≤ {_flow.gap:.0e}"),
        ],
        wrap=True,
        justify="start",
    )
    return


@app.cell(hide_code=True)
def _(mdp, optimal, ratios):
    _width, _height = figures.size_for(mdp)
    _size = (MAP, max(MAP * _height / _width, 1.5))
    mo.hstack(
        [
            drawn(_size, lambda ax: figures.plot_solution(mdp, optimal, ax), "optimal values"),
            drawn(_size, lambda ax: figures.plot_occupancy(mdp, ratios.behavior.law, ax), "behavior"),
            drawn(
                _size, lambda ax: figures.plot_occupancy(mdp, ratios.occupancy.occupancy, ax), "regularised occupancy"
            ),
        ],
        wrap=True,
        justify="start",
    )
    return


@app.cell(hide_code=True)
def _(beta, divergence, mdp, ratios):
    mo.hstack(
        [
            drawn(CURVES, lambda ax: figures_ratios.plot_ratios(mdp, ratios, ax)),
            drawn(
                CURVES,
                lambda ax: figures_ratios.plot_weight_curves(ratios.behavior, beta, compared(divergence.value), ax),
            ),
        ],
        wrap=True,
        justify="start",
    )
    return


@app.cell(hide_code=True)
def _():
    mo.md(r"""
    ## Choosing β

    The effective share of the data grows with β (ESS-11), so a rule that raises β when the share is *above* its target,
    as the note prints it, runs away to a bound; with the sign reversed it settles. The exact answer needs no rule
    (BET-03).
    """)
    return


@app.cell(hide_code=True)
def _():
    target = mo.ui.slider(0.05, 0.95, 0.05, value=0.5, label="target share", show_value=True)
    eta = mo.ui.slider(0.02, 1.0, 0.02, value=0.2, label="rate η", show_value=True)
    rho = mo.ui.slider(0.05, 1.0, 0.05, value=0.25, label="smoothing ρ", show_value=True)
    mo.hstack([target, eta, rho], justify="start", wrap=True)
    return eta, rho, target


@app.cell(hide_code=True)
def _(beta, divergence, eta, ratios, rho, target):
    _data = ratios.behavior
    try:
        _exact = beta_for_effective_sample_fraction(_data.advantage, _data.law, target.value, divergence.value)
        exact_beta, _said = _exact.beta, f"exact β = {_exact.beta:.6g}, relative error ≤ {_exact.relative_error:.0e}"
    except InfeasibleTarget as _error:
        exact_beta, _said = None, f"no β reaches this target: {_error}"

    @functools.cache  # a law that has run to its bound asks the same question at every step
    def _share(at):
        return optimal_weights(_data.advantage, _data.law, at, divergence.value).effective_sample_fraction

    _law = FeedbackLaw(target.value, eta.value, rho.value, beta_min=1e-3, beta_max=1e2)
    _betas = np.geomspace(1e-2, 1e2, 33)
    mo.vstack(
        [
            mo.md(_said),
            mo.hstack(
                [
                    drawn(
                        CURVES,
                        lambda ax: figures_ratios.plot_feedback(_law, beta, _share, STEPS, exact_beta, ax),
                    ),
                    drawn(
                        CURVES,
                        lambda ax: figures_ratios.plot_concentration(_data, _betas, compared(divergence.value), ax),
                    ),
                ],
                wrap=True,
                justify="start",
            ),
        ]
    )
    return (exact_beta,)


if __name__ == "__main__":
    app.run()
