"""The command line: help that explains, one clear line for bad input, nothing written when it refuses."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import TINY, flags

from deep import __main__ as command_line
from deep import certificate, checkpoint, presets, runs, train
from deep.config import Config
from deep.published import DEVIATIONS


@pytest.fixture
def run(capsys):
    """`run("train", ...)` -> (exit status, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            status = command_line.main(list(arguments))
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    import jax

    folder = tmp_path_factory.mktemp("runs") / "finished"
    with jax.disable_jit(False):
        train.start([Config(**TINY | {"steps": 410})], [folder], unverified=True)
    return folder


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_help_explains_every_setting_with_its_default(run):
    status, out, _ = run("train", "--help")
    assert status == 0
    text = re.sub(r"[\s│]+", " ", out)
    for field in dataclasses.fields(Config):
        if field.name != "environment":
            assert f"--{field.name.replace('_', '-')}" in text, field.name
    told = 9  # folder, resume and what else a start is told
    assert text.count("(default:") == len(dataclasses.fields(Config)) + told
    assert "Polyak step of the target critic in (0, 1]" in text
    assert "(default: 16.0)" in text


def test_help_shows_the_presets_own_defaults(run):
    sac, roer = (
        re.sub(r"[\s│]+", " ", run("train", *words, "--help")[1]) for words in (["--preset", "sac"], ["--preset=roer"])
    )
    assert "(default: none)" in sac
    assert "(default: none)" not in roer
    assert "(default: kl)" in roer


@pytest.mark.parametrize("command", ["evaluate", "plot", "presets", "certificate"])
def test_every_command_has_help(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"deep {command}" in out


def test_the_commands_are_listed(run):
    status, out, _ = run("--help")
    assert status == 0
    assert all(f"\n  {command} " in out for command in ("train", "evaluate", "plot", "presets", "certificate"))
    assert run()[0] == 2


def test_presets_are_explained(run):
    status, out, _ = run("presets")
    assert status == 0
    for name, entry in presets.PRESETS.items():
        assert f"\n{name}\n" in f"\n{out}"
        assert entry.explanation in " ".join(out.split())


def test_deviations_are_explained(run):
    status, out, _ = run("presets", "--explain")
    assert status == 0
    words = " ".join(out.split())
    assert all(f"- {line}" in words for lines in DEVIATIONS.values() for line in lines)
    assert DEVIATIONS.keys() <= presets.PRESETS.keys()


BAD = {
    "unknown command": (["tain"], "unknown command 'tain'; expected one of train"),
    "unknown environment": (["train", "HalfCheeta-v5", "--unverified"], "unknown environment.*HalfCheetah-v5"),
    "discrete actions": (["train", "CartPole-v1", "--unverified"], "expected a Box"),
    "discount one": (["train", "--discount", "1.0"], r"--discount: expected a number in \[0, 1\), saw 1.0"),
    "negative beta": (["train", "--beta", "-1"], "--beta: expected a number > 0, saw -1.0"),
    "rate zero": (["train", "--weight-rate", "0"], r"--weight-rate: expected a number in \(0, 1\], saw 0.0"),
    "no layers": (["train", "--hidden"], "--hidden"),
    "not a number": (["train", "--tau", "fast"], "--tau.*fast"),
    "nan": (["train", "--beta", "nan"], "--beta: expected a number > 0, saw nan"),
    "js cap past the pole": (["train", "--divergence", "js", "--value-cap", "0.7"], "conjugate of js ends at 0.6931"),
    "unknown divergence": (["train", "--divergence", "chi3"], "chi3"),
    "unknown preset": (["train", "--preset", "reor"], "expected one of sac, roer, .*saw 'reor'"),
    "unknown flag": (["train", "--lambda", "3"], "--lambda"),
    "no run to resume": (["train", "--resume", "nowhere"], "nowhere is not a run folder"),
    "no run to evaluate": (["evaluate", "nowhere"], "nowhere is not a run folder"),
    "no run to plot": (["plot", "nowhere"], "nowhere is not a run folder"),
    "nothing to plot": (["plot"], "expected at least one run folder"),
    "no certificate": (["train", "InvertedPendulum-v5"], "no certificate covers this run.*tox run -e certify"),
    "certificate asked for": (["certificate"], "no certificate covers this run"),
    "superfluous": (["certificate", "sac"], "takes no arguments, saw sac"),
    "no episodes": (["evaluate", "nowhere", "--episodes", "0"], "--episodes: expected a whole number >= 1, saw 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(run, tmp_path, name):
    arguments, said = BAD[name]
    status, out, error = run(*arguments)
    message = re.sub(r"[\s│]+", " ", error + out)
    assert status != 0
    assert re.search(said, message), message
    assert "Traceback" not in message
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--beta", "2.5"], "--beta: a resumed run keeps its own settings"),
        (["--folder", "elsewhere"], "--folder: a resumed run keeps its own settings"),
        (["--steps", "40"], "at step 410, past the 40 steps asked for"),
    ],
)
def test_a_resumed_run_keeps_its_settings(run, finished, tmp_path, arguments, said):
    before = everything(finished)
    status, _, error = run("train", "--resume", str(finished), "--unverified", *arguments)
    assert status == 1
    assert said in error
    assert everything(finished) == before
    assert everything(tmp_path) == []


def test_a_checkpoint_of_another_run_is_refused(run, finished, tmp_path):
    other = tmp_path / "other"
    runs.create(other, Config(**TINY | {"steps": 410, "beta": 0.5}), runs.session(None, 0))
    source = checkpoint.files(finished / "checkpoints")[0]
    (other / "checkpoints").mkdir()
    (other / "checkpoints" / source.name).write_bytes(source.read_bytes())
    status, _, error = run("train", "--resume", str(other), "--unverified", "--steps", "500")
    assert status == 1
    assert "written with other settings (beta 16.0 -> 0.5)" in error


def test_corrupt_checkpoints_are_one_error(run, finished, tmp_path):
    broken = tmp_path / "broken"
    runs.create(broken, runs.settings(finished), runs.session(None, 0))
    (broken / "checkpoints").mkdir()
    (broken / "checkpoints" / "step_000000250.safetensors").write_bytes(b"not a checkpoint")
    for arguments in (["train", "--resume", str(broken), "--unverified"], ["evaluate", str(broken)]):
        status, _, error = run(*arguments)
        assert status == 1
        assert re.fullmatch(r"error: .*none of its checkpoints can be used.*step_000000250.*\n", error), error


def test_train_evaluate_plot(run, tmp_path):
    config = Config(**TINY | {"steps": 410})
    status, out, error = run(*flags(config), "--unverified")
    folder = runs.folder_of(config)
    assert folder == Path("runs/InvertedPendulum-v5__roer__s7")
    assert status == 0, error
    assert "UNVERIFIED" in out
    assert runs.settings(folder) == config

    status, out, error = run("evaluate", str(folder), "--episodes", "3", "--seed", "5")
    assert status == 0, error
    assert "step 410, 3 episodes, seed 5" in out
    assert run("evaluate", str(folder), "--episodes", "3", "--seed", "5")[1] == out

    status, out, error = run("plot", str(folder), str(folder), "--output", "curves.svg")
    assert status == 0, error
    assert (tmp_path / "curves.svg").read_text().lstrip().startswith("<?xml")
    status, _, error = run("plot", str(folder), "--output", "curves.docx")
    assert status == 1
    assert "cannot write the figure curves.docx" in error
    assert not list(tmp_path.glob("*.docx"))


def test_a_certificate_is_shown(run):
    issued = certificate.issue({"JS-04": {"quantity": "weights", "error": 1e-9, "bound": 1e-8, "reason": "test"}})
    status, out, _ = run("certificate")
    assert status == 0
    assert f"certificate {issued.id}" in out
    assert re.search(r"JS-04 +weights +largest error 1.000e-09 +bound 1.000e-08", out)


def test_a_missing_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    status, _, error = run("train", "InvertedPendulum-v5")
    assert status == 1
    assert 'deep needs tyro, which this environment lacks: pip install "roer[deep]"' in error


@pytest.mark.parametrize("how", ["-m deep", "roer-train", "import"])
def test_without_jax_there_is_one_line(tmp_path, how):
    """An interpreter that finds deep but not JAX: isolated from what is installed here."""
    (tmp_path / "deep").symlink_to(Path(command_line.__file__).parent)
    script = {
        "-m deep": ["-m", "deep", "train"],
        "roer-train": [str(tmp_path / "roer-train")],
        "import": ["-c", "import deep"],
    }[how]
    (tmp_path / "roer-train").write_text("from deep.__main__ import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, "-S", *script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    said = 'deep needs jax, flax, optax, which this environment lacks: pip install "roer[deep]"\n'
    assert done.returncode == 1
    if how == "import":
        assert done.stderr.endswith(f"ModuleNotFoundError: {said}")
    else:
        assert done.stderr == f"error: {said}"
