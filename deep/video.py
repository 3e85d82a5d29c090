"""A film of one episode under the policy's mode, drawn without a screen.

MuJoCo draws through one of three libraries, named by the environment variable MUJOCO_GL: ``egl`` (a graphics card, or
Mesa's driver), ``osmesa`` (software) and ``glfw`` (a window system). A process can try one only, because PyOpenGL binds
itself to the first; so each is tried in a process of its own, where it has to draw a pixel.
"""

import contextlib
import functools
import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from deep.environments import Environment
from deep.errors import InvalidEnvironment, InvalidRun, InvalidSetting
from deep.evaluate import LONGEST

BACKENDS = ("egl", "osmesa", "glfw")
SUFFIXES = (".mp4", ".gif")

Frame = UInt8[np.ndarray, "H W 3"]
Act = Callable[[np.ndarray], np.ndarray]

_DRAW_A_PIXEL = """
import mujoco, numpy
context = mujoco.GLContext(8, 8)
context.make_current()
from OpenGL import GL
GL.glClearColor(1.0, 0.0, 0.0, 1.0)
GL.glClear(GL.GL_COLOR_BUFFER_BIT)
pixel = numpy.frombuffer(GL.glReadPixels(0, 0, 1, 1, GL.GL_RGB, GL.GL_UNSIGNED_BYTE), numpy.uint8)
assert pixel.tolist() == [255, 0, 0], f"drew {pixel.tolist()} instead of red"
"""


class Film(NamedTuple):
    """What was filmed: the episode's undiscounted return and length, and the film's frames per second."""

    episodic_return: float
    length: int
    frames_per_second: float


def check(path: Path) -> None:
    """Refuse, before anything is played, a file that could not be written; the error says what is missing."""
    if path.suffix not in SUFFIXES:
        raise InvalidSetting(f"--output: expected a file that ends in {' or '.join(SUFFIXES)}, saw {path}")
    _encoder(path.suffix)


def record(environment: Environment, act: Act, seed: int, path: Path, no_backend: str = "") -> Film:
    """Play one episode from the reset seed and write a frame for each observation, the first and the last included.

    ``act`` maps an observation (O,) to an action (U,) in [-1, 1]; ``no_backend`` is what :func:`choose_backend` said.
    The file is complete or not there at all. InvalidEnvironment if the environment cannot be drawn; InvalidRun if the
    file cannot be written.
    """
    rate = float(environment.inner.metadata.get("render_fps") or 30)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    played: list[tuple[float, int]] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _encoder(path.suffix)(_episode(environment, act, seed, no_backend, played), partial, rate)
        os.replace(partial, path)
    except OSError as error:
        raise InvalidRun(f"cannot write the video {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return Film(*played[0], rate)


def choose_backend() -> str:
    """Name in MUJOCO_GL a library that draws without a screen, unless the user has; returns why none does, or "".

    To be called before anything imports MuJoCo, which reads the variable then. InvalidSetting when the library that the
    user asked for cannot draw. Only on Linux: elsewhere MuJoCo has one library, which comes with the system.
    """
    if not sys.platform.startswith("linux") or importlib.util.find_spec("mujoco") is None:
        return ""
    asked = os.environ.get("MUJOCO_GL")
    if asked:
        if reason := _failure(asked):
            raise InvalidSetting(
                f"MUJOCO_GL={asked}: this library cannot draw without a screen here ({reason}); unset it, so that each "
                f"of {', '.join(BACKENDS)} is tried"
            )
        return ""
    reasons = {}
    for backend in BACKENDS:
        if not (reason := _failure(backend)):
            os.environ["MUJOCO_GL"] = backend
            return ""
        reasons[backend] = reason
    said = "; ".join(f"{backend}: {reason}" for backend, reason in reasons.items())
    return (
        f"no OpenGL library can draw without a screen ({said}); install one, for instance with apt-get install "
        "libosmesa6 (software) or libegl1 (a graphics card's driver, or Mesa's)"
    )


def _failure(backend: str) -> str:
    """Why a library cannot draw; "" if it can."""
    environment = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DRAW_A_PIXEL],
            env=environment | {"MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "no answer within a minute"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"ended with status {done.returncode}"


def _episode(
    environment: Environment, act: Act, seed: int, no_backend: str, played: list[tuple[float, int]]
) -> Iterator[Frame]:
    """The frames; what was played is appended to ``played`` at the end."""
    observation, episodic_return = environment.reset(seed), 0.0
    yield _frame(environment, no_backend)
    for length in range(1, LONGEST + 1):
        observation, reward, terminated, truncated = environment.step(np.asarray(act(observation), np.float32))
        episodic_return += reward
        yield _frame(environment, no_backend)
        if terminated or truncated:
            played.append((episodic_return, length))
            return
    raise InvalidEnvironment(f"{environment.name}: the episode went on for {LONGEST} steps; register a time limit")


def _frame(environment: Environment, no_backend: str) -> Frame:
    try:
        frame: Any = environment.inner.render()
    except Exception as error:  # whatever a simulator's renderer raises, the user needs the same sentence
        reason = no_backend or f"{type(error).__name__}: {error}"
        raise InvalidEnvironment(f"{environment.name} cannot be drawn: {reason}") from error
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InvalidEnvironment(
            f"{environment.name}: expected render() to return uint8 pixels (H, W, 3), saw {type(frame).__name__}"
        )
    return np.ascontiguousarray(frame)


def _encoder(suffix: str) -> Callable[[Iterator[Frame], Path, float], None]:
    return _write_gif if suffix == ".gif" else functools.partial(_write_mp4, _ffmpeg())


def _ffmpeg() -> str:
    """The program of the extra, or the system's."""
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        if found := shutil.which("ffmpeg"):
            return found
        raise InvalidSetting(
            'an .mp4 needs ffmpeg: pip install "roer[video]" brings it, as does your system; a .gif needs none'
        ) from error
    return imageio_ffmpeg.get_ffmpeg_exe()


def _write_mp4(program: str, frames: Iterator[Frame], path: Path, rate: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    options = f"-loglevel error -y -f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {rate:g} -i - -an".split()
    # H.264 with subsampled colours, which every player knows, wants even sides.
    options += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p"]
    with tempfile.TemporaryFile() as said:
        # A process group of its own: Ctrl-C is for this process, which then ends the other in its own time.
        encoder = subprocess.Popen(
            [program, *options, str(path)], stdin=subprocess.PIPE, stdout=said, stderr=said, process_group=0
        )
        assert encoder.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended early, and says why below
                for frame in itertools.chain([first], frames):
                    encoder.stdin.write(frame.data)
        except BaseException:
            encoder.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                encoder.stdin.close()
            status = encoder.wait()
        if status != 0:
            said.seek(0)
            reason = said.read().decode(errors="replace").strip() or f"it ended with status {status}"
            raise OSError(f"{Path(program).name}: {reason.splitlines()[-1]}")


def _write_gif(frames: Iterator[Frame], path: Path, rate: float) -> None:
    from PIL import Image

    # Each frame has the palette that suits it; frames that equal their predecessor prolong it. Whole centiseconds.
    first, *others = (Image.fromarray(frame).quantize(256) for frame in frames)
    duration = 10 * max(2, round(100 / rate))
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)
