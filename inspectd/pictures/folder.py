"""Sorts the files of a folder of pictures into parts, masks, and others that are left out.

Build, calibrate, evaluate, tune and the images camera all use it, so that a folder means the same parts to
each of them. Files left out are counted with the reason, so that a person can check the numbers.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import decode_levels, read_bytes
from inspectd.pictures.suffixes import SUFFIXES

LOSSY: Final = frozenset({".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".webp"})
GROUND_TRUTH: Final = "ground_truth"
_SYSTEM: Final = frozenset(
    {
        "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recycle", "@recently-snapshot", "__macosx",
        "lost+found", "recycler", "system volume information",
    }
)  # fmt: skip
"""Folders of file servers and desktops: deleted files, thumbnails, old copies. In lower case."""
_GOOD: Final = re.compile(r"(good|ok|normal)([ _.-]?[0-9]+)?", re.IGNORECASE)
"""How labelled data sets name the folder of good parts."""
_BAD: Final = re.compile(
    r"(bad|defect(s|ive|ives)?|fail(ed|ure|ures)?|reject(s|ed)?|anomal(y|ies|ous)|nok|not[ _-]?ok|ng)"
    r"([ _.-].*|[0-9]+)?",
    re.IGNORECASE,
)
"""And those of others."""
_PLURAL: Final = re.compile(r"(?<=\bfile)s\b|(?<=\bfolder)s\b|(?<=\blink)s\b|(?<=\bmask)s\b")
"""What reasons to leave something out count; of pipes, sockets and devices nobody knows which it was."""
_MASK_ENDINGS: Final = ("_mask", "_gt")
_MASK_BEGINNING: Final = "mask_"
_LOSSY_SLACK: Final = 24
_LOSSY_SHARE: Final = 0.98
"""JPEG greys a mask's edges: this share of its pixels lies within that many levels of black and white."""


class NoPicturesError(InputError):
    """There is no such folder, or it holds no picture."""


@dataclass
class Listing:
    """The files in a folder and its subfolders.

    Attributes:
        folder: the folder.
        pictures: files that show parts, in path order; each lies below `folder` by its own or a link's name.
        masks: files that show where other pictures are defective, in path order.
        left_out: reasons, in words, why other files and folders are left out, with their number.
    """

    folder: Path
    pictures: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def list_pictures(folder: Path, beat: Callable[[], None] = lambda: None) -> Listing:
    """All picture files in a folder and its subfolders.

    Hidden files and system folders are left out; folders that are links are followed,
    each once. A mask is what lies below a folder `ground_truth`, what is named for another picture of its
    folder (`7_mask.png`, `7_gt.png` or `mask_7.png` beside `7.png`), and what shares its name but for the
    suffix, or is named so for no picture at all, and holds two values only (`7.png` beside `7.jpg`).

    Args:
        folder: where to look.
        beat: called now and then, as a large folder takes long.

    Raises:
        NoPicturesError: there is no such folder, or it holds no picture.
        InputError: it cannot be read, or has names that are not UTF-8.
    """
    try:
        is_there = folder.is_dir()
    except OSError as error:
        raise InputError(f"folder {folder}: cannot be read: {error.strerror}") from error
    if not is_there:
        wrong = "is a file" if folder.exists() else "not found"
        raise NoPicturesError(f"folder {folder}: {wrong}, expected a folder of images")
    found = Listing(folder)
    files = sorted(_files(found, beat))
    _refuse_nameless(folder, files)
    for path in files:
        if GROUND_TRUTH in {part.lower() for part in path.relative_to(folder).parts[:-1]}:
            found.masks.append(path)
        else:
            found.pictures.append(path)
    beside = set(_masks_beside(found.pictures, beat))
    found.pictures = [path for path in found.pictures if path not in beside]
    found.masks = sorted([*found.masks, *beside])
    if found.masks:
        found.left_out["masks, not parts"] += len(found.masks)
    if not found.pictures:
        kinds = ", ".join(sorted(SUFFIXES))
        raise NoPicturesError(
            f"folder {folder}: holds no image; expected files ending in {kinds}{_but(found)}"
        )
    return found


def list_good_pictures(folder: Path) -> Listing:
    """As `list_pictures`, of a folder that holds good parts alone.

    Raises:
        NoPicturesError: there is no such folder, or it holds no picture.
        InputError: as `list_pictures`; or folders in it are named as those of a labelled data set, whose
            defects would be taken for good parts.
    """
    found = list_pictures(folder)
    inside: dict[Path, set[str]] = {}
    for path in found.pictures:
        for place in path.relative_to(folder).parents[:-1]:
            inside.setdefault(folder / place.parent, set()).add(place.name)
    for parent, names in sorted(inside.items()):
        good = sorted(name for name in names if _GOOD.fullmatch(name))
        others = names.difference(good) if good else {name for name in names if _BAD.fullmatch(name)}
        if others or {"test", "train"} <= {name.lower() for name in names}:
            meant = parent / good[0] if good else parent / "train" / "good"
            such = f", such as {meant}" if meant.is_dir() else ""
            raise InputError(
                f"folder {folder}: holds pictures in {', '.join(sorted(names)[:6])}, so it looks like a "
                "labelled data set, whose defects would be learnt as good; name the folder of good parts "
                f"alone{such}"
            )
    return found


def list_masks(folder: Path) -> list[Path]:
    """All picture files in a folder that holds masks and nothing else, in path order."""
    return sorted(_files(Listing(folder), lambda: None))


def mask_stems(stem: str) -> Iterator[str]:
    """The stems, in lower case, of the picture that a file may be the mask of; its own is the last."""
    lower = stem.lower()
    for ending in _MASK_ENDINGS:
        if lower.endswith(ending):
            yield lower.removesuffix(ending)
    if lower.startswith(_MASK_BEGINNING):
        yield lower.removeprefix(_MASK_BEGINNING)
    yield lower


def defective_pixels(path: Path) -> NDArray[np.bool_]:
    """Defective pixels by a mask, (H, W); by any mask, for a folder of masks.

    Those above 0; in a lossy format those above 127, because compression adds greys.

    Raises:
        PictureError: one cannot be read, or the masks of a folder differ in size.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found: NDArray[np.bool_] | None = None
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            continue
        levels = _grey(decode_levels(read_bytes(file)))
        above = levels > (127 if file.suffix.lower() in LOSSY else 0)
        if found is not None and found.shape != above.shape:
            raise PictureError(f"{file.name} is {above.shape}, other masks beside it are {found.shape}")
        found = above if found is None else found | above
    if found is None:
        raise PictureError("holds no mask")
    return found


def is_two_valued(path: Path) -> bool:
    """True if a file holds only two grey levels, as masks do and pictures of parts do not."""
    try:
        levels = _grey(decode_levels(read_bytes(path)))
    except PictureError:
        return False  # whoever reads it reports the reason
    if path.suffix.lower() not in LOSSY:
        return bool(((levels == levels.min()) | (levels == levels.max())).all())
    outer = (levels <= _LOSSY_SLACK) | (levels >= 255 - _LOSSY_SLACK)
    return bool(outer.mean() >= _LOSSY_SHARE)


def _grey(levels: NDArray[Any]) -> NDArray[Any]:
    """The largest colour of each pixel, (H, W); alpha is ignored."""
    return levels if levels.ndim == 2 else np.asarray(levels[..., :3].max(axis=2))


def _files(found: Listing, beat: Callable[[], None]) -> Iterator[Path]:
    """Every regular file with a picture's suffix; real folders first, so that a link never stands for one."""
    seen: set[tuple[int, int]] = set()
    folders, links = [found.folder], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                found.left_out["folders already read under another name"] += 1
                continue
            seen.add((status.st_dev, status.st_ino))
            paths = sorted(folder.iterdir())
        except OSError as error:
            if folder == found.folder:
                raise InputError(f"folder {folder}: cannot be read: {error.strerror}") from error
            found.left_out[f"folders that cannot be read ({folder.name})"] += 1
            continue
        for path in paths:
            beat()
            kind = _kind(path)
            reason = _reason(path.name, kind)
            if reason is not None:
                found.left_out[reason] += 1
            elif kind is not None and stat.S_ISDIR(kind):
                (links if os.path.islink(path) else folders).append(path)  # noqa: PTH114 - raises nothing
            else:
                yield path


def _kind(path: Path) -> int | None:
    """Target of a name; None for a broken link."""
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _reason(name: str, kind: int | None) -> str | None:
    """Reason to leave a name out; None for a folder or a possible picture."""
    is_folder = kind is not None and stat.S_ISDIR(kind)
    if is_folder and (name.startswith(".") or name.lower() in _SYSTEM):
        return f"hidden and system folders ({_shown(name)})"
    if name.startswith("."):
        return "hidden files"
    if is_folder:
        return None
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        return f"files ending in {_shown(suffix)}" if suffix else "files without a suffix"
    if kind is None:
        return "broken links"
    return None if stat.S_ISREG(kind) else "pipes, sockets and devices"


def _masks_beside(pictures: list[Path], beat: Callable[[], None]) -> Iterator[Path]:
    """Those of the files that are masks of others in the same folder."""
    stems: Counter[tuple[Path, str]] = Counter((path.parent, path.stem.lower()) for path in pictures)
    for path in pictures:
        *named_for, own = mask_stems(path.stem)
        if any((path.parent, stem) in stems for stem in named_for):
            yield path
        elif named_for or stems[path.parent, own] > 1:
            beat()
            if is_two_valued(path):
                yield path


def _refuse_nameless(folder: Path, files: list[Path]) -> None:
    """Names go into verdicts, reports and JSON, all of which are UTF-8."""
    nameless = [path for path in files if not _is_utf8(path)]
    if nameless:
        names = ", ".join(_shown(path.relative_to(folder).as_posix()) for path in nameless[:3])
        raise InputError(f"folder {folder}: {len(nameless)} file names are not UTF-8 ({names}); rename them")


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _but(found: Listing) -> str:
    """Description of the other files there, for people."""
    return f"; left out: {described(found.left_out)}" if found.left_out else ""


def described(left_out: Counter[str]) -> str:
    """The files left out, in one line for people."""
    return ", ".join(
        f"{count} {reason}" if count > 1 else f"{count} {_PLURAL.sub('', reason, count=1)}"
        for reason, count in sorted(left_out.items())
    )
