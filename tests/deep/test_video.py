"""Films: every frame of the episode, whole files or none, and a clear sentence where nothing can be drawn."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from made_runs import untrained
from PIL import Image
from simulators import Counter
from tiny_runs import TINY

from deep import policy, runs, video
from deep.commands import video as command
from deep.config import Config
from deep.environments import Environment, make
from deep.errors import InvalidEnvironment, InvalidRun, InvalidSetting
from deep.video import Film

LEVELS = (20, 120, 220)
"""The brightness of the three frames of an episode of two steps."""


class Drawn(Counter):
    """Counter that draws a grey rectangle, brighter with each step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's)

    def __init__(self, height=33, width=47):
        super().__init__(end=2)
        self.size = (height, width, 3)

    def render(self):
        return np.full(self.size, LEVELS[int(self._buffer[0])], np.uint8)


class Broken(Drawn):
    def render(self):
        raise RuntimeError("gladLoadGL error")


class Textual(Drawn):
    def render(self):
        return "step 0"


def still(observation):
    return np.zeros(1, np.float32)


def test_a_gif_holds_every_frame(tmp_path):
    film = video.record(Environment(Drawn()), still, 0, tmp_path / "new" / "film.gif")
    assert film == Film(3.0, 2, 20.0)
    with Image.open(tmp_path / "new" / "film.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (3, (47, 33), 50)
        shades = []
        for at in range(3):
            gif.seek(at)
            shades.append(int(np.asarray(gif.convert("RGB")).max()))
    assert sorted(shades) == shades
    assert len(set(shades)) == 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.gif"]


@pytest.mark.extras
def test_an_mp4_holds_every_frame(tmp_path):
    """Odd sides are padded to even ones; H.264 keeps a grey within a few levels."""
    import imageio_ffmpeg

    assert video.record(Environment(Drawn()), still, 0, tmp_path / "film.mp4") == Film(3.0, 2, 20.0)
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    )
    about = done.stderr.decode()
    assert re.search(r"h264.* 48x34.* 20 fps", about), about
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, 34, 48, 3)
    shades = [int(np.median(frame)) for frame in frames]
    nearest = [min(LEVELS, key=lambda level: abs(level - shade)) for shade in shades]
    assert tuple(nearest) == LEVELS


def test_a_program_that_fails_is_quoted(tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho disk full >&2\nexit 3\n")
    program.chmod(0o755)
    frames = iter([np.zeros((400, 400, 3), np.uint8)] * 50)
    with pytest.raises(OSError, match="ffmpeg: disk full"):
        video._write_mp4(str(program), frames, tmp_path / "film.mp4", 20.0)


def test_without_ffmpeg_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InvalidSetting, match=r'an .mp4 needs ffmpeg: pip install "roer\[video\]"'):
        command.run([str(tmp_path), "--output", "film.mp4"])
    video.check(tmp_path / "film.gif")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ffmpeg")
    video.check(tmp_path / "film.mp4")


def test_what_cannot_be_drawn_is_one_error(tmp_path):
    path = tmp_path / "film.gif"
    with pytest.raises(InvalidEnvironment, match="Broken cannot be drawn: RuntimeError: gladLoadGL error"):
        video.record(Environment(Broken()), still, 0, path)
    with pytest.raises(InvalidEnvironment, match="Broken cannot be drawn: no OpenGL library can draw without a screen"):
        video.record(Environment(Broken()), still, 0, path, "no OpenGL library can draw without a screen (...)")
    with pytest.raises(InvalidEnvironment, match=r"expected render\(\) to return uint8 pixels"):
        video.record(Environment(Textual()), still, 0, path)
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidRun, match="cannot write the video"):
        video.record(Environment(Drawn()), still, 0, tmp_path / "taken" / "film.gif")
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere MuJoCo has one library")
class TestBackends:
    """Which OpenGL library MuJoCo is told to use."""

    @pytest.fixture(autouse=True)
    def _unset(self, monkeypatch):
        """Set before it is deleted, so that monkeypatch undoes what `choose_backend` writes as well."""
        monkeypatch.setenv("MUJOCO_GL", "")
        monkeypatch.delenv("MUJOCO_GL")

    def test_each_is_tried_and_the_first_that_draws_is_taken(self, monkeypatch):
        tried = []
        monkeypatch.setattr(video, "_failure", lambda backend: tried.append(backend) or "absent" * (backend == "egl"))
        assert video.choose_backend() == ""
        assert (os.environ["MUJOCO_GL"], tried) == ("osmesa", ["egl", "osmesa"])

    def test_where_none_draws_the_user_learns_why_and_what_to_install(self, monkeypatch):
        monkeypatch.setattr(video, "_failure", lambda backend: f"no lib{backend}")
        said = video.choose_backend()
        assert "egl: no libegl; osmesa: no libosmesa; glfw: no libglfw" in said
        assert "apt-get install libosmesa6" in said
        assert "MUJOCO_GL" not in os.environ

    def test_what_the_user_names_is_tried_for_real(self, monkeypatch, tmp_path):
        """The process that draws a pixel is started, and MuJoCo refuses the name."""
        monkeypatch.setenv("MUJOCO_GL", "vulkan")
        with pytest.raises(
            InvalidSetting, match=r"MUJOCO_GL=vulkan: this library cannot draw.*invalid value.*unset it"
        ):
            command.run([str(tmp_path), "--output", "film.gif"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "film.avi"], r"--output: expected a file that ends in \.mp4 or \.gif, saw film\.avi"),
        (["--seed", "-1"], "--seed: expected a whole number from 0"),
    ],
)
def test_bad_input(tmp_path, arguments, said):
    with pytest.raises(InvalidSetting, match=said):
        command.run([str(tmp_path), *arguments])


def test_the_command_films_the_policys_mode(tmp_path, monkeypatch, capsys):
    """The simulator's own renderer is replaced: what draws differs between machines, what is played does not."""
    config = Config(**TINY)
    environment = make(config.environment)
    trained = untrained(config, environment)
    runs.create(tmp_path / "run", config, runs.session(None, 0))
    monkeypatch.setattr(policy, "load", lambda folder: trained)
    monkeypatch.setattr(video, "choose_backend", lambda: "")
    monkeypatch.setattr(type(environment.inner.unwrapped), "render", lambda self: np.zeros((16, 16, 3), np.uint8))
    assert command.run([str(tmp_path / "run"), "--output", "film.gif", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("film.gif: step 40, return ")
    assert command.run([str(tmp_path / "run"), "--output", "film.gif", "--seed", "3"]) == 0
    assert capsys.readouterr().out == said
    with Image.open(tmp_path / "film.gif") as gif:
        assert (gif.n_frames, gif.size) == (1, (16, 16))  # equal frames are one, shown longer
