"""Settings from a JSON file: the config.json of a run, or an object with any of its settings.

What the file does not say is the preset's; flags go on top. A setting that is unknown, of the wrong type or out of its
range is an error that names the file and the setting.
"""

import dataclasses
import difflib
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

from deep import presets
from deep.config import Config
from deep.errors import InvalidSetting


def load(path: Path, preset: str | None = None, environment: str | None = None) -> Config:
    """The settings of ``path`` over those of the preset and environment that it names, or of those given if it is mute.

    InvalidSetting for a file that cannot be read, is no JSON, holds what is no setting, or names another preset.
    """
    values = read(path)
    named = values.get("preset", preset or Config.preset)
    if preset is not None and named != preset:
        raise InvalidSetting(
            f"--preset {preset}: {path} holds settings of the preset {named!r}; leave --preset out, "
            'or take "preset" and what belongs to it out of the file'
        )
    try:
        return dataclasses.replace(presets.preset(named, values.get("environment", environment)), **values)
    except InvalidSetting as error:
        raise InvalidSetting(f"{path}: {error}") from error


def read(path: Path) -> dict[str, Any]:
    """The settings that the file holds, checked by name and type, as Config takes them."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise InvalidSetting(f"--config: cannot read {path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise InvalidSetting(f"{path}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise InvalidSetting(f"{path}: {error}") from error
    if isinstance(found, dict) and found.keys() == {"settings", "sessions"}:  # the config.json of a run
        found = found["settings"]
    if not isinstance(found, dict):
        raise InvalidSetting(
            f'{path}: expected an object of settings, like {{"beta": 4.0, "steps": 100000}}, saw {_kind(found)}'
        )
    expected = typing.get_type_hints(Config)
    settings = {}
    for name, value in found.items():
        if name not in expected:
            near = difflib.get_close_matches(name.replace("-", "_"), expected, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(expected)}"
            raise InvalidSetting(f"{path}: unknown setting {name!r}{hint}")
        fits, settings[name] = _fit(value, expected[name])
        if not fits:
            raise InvalidSetting(f"{path}: {name}: expected {_name(expected[name])}, saw {json.dumps(value)}")
    return settings


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError if it says something twice, of which JSON readers keep the last without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice; expected each setting once")
    return found


def _fit(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether a JSON value is of an annotated type, and the value as that type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return value in parts and not isinstance(value, bool), value
    if origin in (types.UnionType, typing.Union):
        for part in parts:
            fits, taken = _fit(value, part)
            if fits:
                return True, taken
        return False, value
    if origin is tuple:
        if not isinstance(value, list):
            return False, value
        taken = [_fit(each, parts[0]) for each in value]
        return all(fits for fits, _ in taken), tuple(each for _, each in taken)
    if kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return fits, float(value) if fits else value
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _name(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(part) for part in parts)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_name, parts))
    if origin is tuple:
        return f"a list, each of it {_name(parts[0])}"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(kind, str(kind))


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
