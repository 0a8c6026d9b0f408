"""Every way in which tables are not what they should be, each with its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from inspectd.config.cameras import Camera
from inspectd.config.sources import masked
from inspectd.config.values import Settings

_CAMERA_KINDS: Final = {str(kind.__struct_config__.tag): kind for kind in get_args(Camera)}
_WORDS: Final = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_OF_A_HOME: Final = re.compile(r"~[^/]*/|~\Z")
"""A path from somebody's home folder as shells write it; no text of another kind begins so."""
_UNKNOWN_KEY: Final = ": unknown key"
_KNOWN_KEYS: Final = ", expected one of "
_ELSEWHERE: Final = {
    "fps": ("framerate", "frame_rate", "rate", "hz"),
    "source": ("url", "uri", "path", "file", "address"),
    "folder": ("path", "dir", "directory", "source"),
    "device": ("source", "serial", "address", "ip", "camera"),
    "slots": ("buffers", "buffer_count"),
}
"""What other programs call a setting, where it is not written alike."""
_UNNAMED: Final = {"name": "unnamed", "recipe": "unknown"}


def problems(value: Any, kind: Any, where: str) -> Iterator[str]:
    """Every way in which `value` is not of type `kind`, each with its path.

    The keys that a table may have are told with the first unknown one of such a table.
    """
    told: set[str] = set()
    for problem in _problems(value, kind, where):
        head, separator, known = problem.partition(_KNOWN_KEYS if _UNKNOWN_KEY in problem else "\n")
        yield head if separator and known in told else problem
        told.update([known] if separator else [])


def names_in(data: dict[str, Any]) -> dict[str, str]:
    """The names of a file's cameras, as they may be shown, by their numbers, such as `cameras[0]`."""
    cameras = data.get("cameras")
    return {
        f"cameras[{index}]": short(item["name"])
        for index, item in enumerate(cameras if isinstance(cameras, list) else ())
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    }


def named(found: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """These problems, with the camera's name beside its number: who counts cameras from 0?"""
    return [_named(problem, names) for problem in found]


def _named(problem: str, names: Mapping[str, str]) -> str:
    where, dot, key = problem.partition(":")[0].partition(".")
    if where not in names or not dot or key == "name":
        return problem
    return f"{problem} ({where} is {names[where]})"


def _problems(value: Any, kind: Any, where: str) -> Iterator[str]:
    inner, metas = _unwrap(kind)
    if get_origin(inner) is tuple and isinstance(value, list):
        of_items = [
            problem
            for index, item in enumerate(value)
            for problem in _problems(item, get_args(inner)[0], f"{where}[{index}]")
        ]
        yield from of_items or _value_problem(value, kind, where)  # which is then the number of items
    elif get_origin(inner) is tuple and isinstance(value, dict) and _is_table(get_args(inner)[0]):
        heading = re.sub(r"\[\d+\]", "", where)
        yield f"{where}: got a table, expected a list of them: write [[{heading}]] as the heading of each"
    elif get_origin(inner) is dict and isinstance(value, dict):
        of_key, of_value = get_args(inner)
        of_items = [
            problem
            for key, item in value.items()
            for problem in (
                *_value_problem(key, of_key, where),
                *_problems(item, of_value, f"{where}.{masked(key)}"),
            )
        ]
        yield from of_items or _value_problem(value, kind, where)  # which is then the number of items
    elif inner == Camera and isinstance(value, dict):
        yield from _camera_problems(value, where)
    elif isinstance(inner, type) and issubclass(inner, Settings) and isinstance(value, dict):
        yield from _table_problems(value, inner, where)
    elif get_origin(inner) is Literal and not _is_one_of(value, get_args(inner)):
        yield f"{where}: got {short(value)}, expected one of {', '.join(map(str, get_args(inner)))}"
    else:
        yield from _value_problem(value, Annotated[(inner, *metas)] if metas else inner, where)


def _camera_problems(value: dict[str, Any], where: str) -> Iterator[str]:
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _CAMERA_KINDS:
        got = "is missing" if kind is None else f"got {short(kind)}"
        yield f"{where}.kind: {got}, expected one of {', '.join(sorted(_CAMERA_KINDS))}"
        return
    yield from _table_problems({k: v for k, v in value.items() if k != "kind"}, _CAMERA_KINDS[kind], where)


def _table_problems(table: dict[str, Any], kind: type[Settings], where: str) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in kind.__struct_fields__:
            near = _near(key.lower().replace("-", "_"), kind.__struct_fields__)
            meant = f" (is {near[0]} meant?)" if near else ""
            known = ", ".join(kind.__struct_fields__)
            yield f"{prefix}{masked(key)}{_UNKNOWN_KEY}{meant}{_KNOWN_KEYS}{known}"
    for field in msgspec.structs.fields(kind):
        if field.name in table:
            yield from _problems(table[field.name], hints[field.name], prefix + field.name)
        elif field.required:
            yield f"{prefix}{field.name}: is missing, expected {_expected(hints[field.name])}"


def _near(key: str, fields: tuple[str, ...]) -> list[str]:
    """The settings that may be meant by an unknown key, the likeliest first."""
    elsewhere = [field for field in fields if key in _ELSEWHERE.get(field, ())]
    return elsewhere or difflib.get_close_matches(key, fields, n=1)


def _value_problem(value: Any, kind: Any, where: str) -> Iterator[str]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        detail = str(error).split(" - at ")[0]
        if isinstance(value, str):  # msgspec repeats it
            detail = detail.replace(repr(value), short(value)).replace(value, masked(value))
        if " matching regex " in detail:  # which says little to whoever writes a file
            detail = f"expected {_like(_unwrap(kind)[1])}"
        yield f"{where}: got {short(value)}, {_in_words(detail)}{_what_it_is(value, kind)}"
    else:
        yield from _text_problems(value, where)


def _what_it_is(value: Any, kind: Any) -> str:
    """What a number that is none of those expected is, in few words: its key need not name the unit."""
    inner, metas = _unwrap(kind)
    if type(value) not in {int, float} or inner not in {int, float} or not any(m.description for m in metas):
        return ""
    return f" ({re.split('[.;] ', _expected(kind))[0]})"


def _text_problems(value: Any, where: str) -> Iterator[str]:
    """Texts that no path can be, or that would be taken as they stand: a folder named `~` beside the file."""
    if isinstance(value, str) and "\0" in value:
        yield f"{where}: got {short(value)}, expected a text without NUL: neither a path nor a name has one"
    elif isinstance(value, str) and _OF_A_HOME.match(value):
        yield (
            f"{where}: got {short(value)}, expected a path that is written out: only a shell knows ~ for a "
            "home folder, and a service may have none"
        )


def _is_table(kind: Any) -> bool:
    return kind == Camera or (isinstance(kind, type) and issubclass(kind, Settings))


def _is_one_of(value: Any, choices: tuple[Any, ...]) -> bool:
    """Whether a value is one of these: `false` is not 0."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _in_words(detail: str) -> str:
    """What msgspec says of a value, without names of Python's types; the value itself is told before it."""
    expected = re.sub(r", got `[^`]*`$", "", detail)
    expected = re.sub(
        r"`([a-z |]+)`",
        lambda names: " or ".join(_WORDS.get(name, name) for name in names[1].split(" | ")),
        expected,
    )
    return _inside(expected)


def _like(metas: tuple[Any, ...]) -> str:
    """What a text has to be like, in words and by examples; every pattern of a setting has some."""
    words = [str(meta.extra["words"]) for meta in metas if meta.extra]
    examples = [str(each) for meta in metas for each in meta.examples or ()]
    return ", ".join([*words, *([f"such as {', '.join(examples)}"] if examples else [])])


def _unwrap(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its notes, and these; of one that may be unset what it is else: a file has no null."""
    metas: tuple[Any, ...] = ()
    while get_origin(kind) is Annotated or len(_set(kind)) == 1:
        if get_origin(kind) is Annotated:
            metas = (*kind.__metadata__, *metas)
            kind = kind.__origin__
        else:
            (kind,) = _set(kind)
    return kind, metas


def _set(kind: Any) -> list[Any]:
    """Of a type that may be None, what else it may be; of others nothing."""
    each = get_args(kind) if get_origin(kind) in {Union, UnionType} else ()
    return [one for one in each if one is not NoneType] if NoneType in each else []


def _expected(kind: Any) -> str:
    _, metas = _unwrap(kind)
    descriptions = [str(meta.description) for meta in metas if meta.description]
    if descriptions:
        return _inside(descriptions[0].rstrip("."))
    return "at least one"


def _inside(sentence: str) -> str:
    """A sentence inside another one; `TCP` stays as it is."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


def short(value: Any) -> str:
    """A value as it may be shown: it may hold a camera's password, and a table or an array anything."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number beyond 64 bits"  # Python refuses to write out the longest of them
    text = repr(masked(value) if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def sound(value: Any, kind: Any) -> Any:
    """`value` as `kind`, or None where it has problems."""
    return None if any(problems(value, kind, "")) else msgspec.convert(value, kind)


def as_far_as_sound(item: Any) -> Camera | None:
    """A camera's table without its faulty keys, so that what hangs together is judged beside every fault."""
    kind = _CAMERA_KINDS.get(str(item.get("kind"))) if isinstance(item, dict) else None
    if kind is None:
        return None
    hints = get_type_hints(kind, include_extras=True)
    known = {k: v for k, v in item.items() if k in kind.__struct_fields__}
    faultless = {k: v for k, v in known.items() if not [*problems(v, hints[k], "")]}
    camera: Camera | None = sound({**_UNNAMED, **faultless, "kind": item["kind"]}, Camera)
    return camera
