"""What judges a frame or a part, before, at and after a switch."""

from __future__ import annotations

import msgspec
import pytest

from inspectd.config import Config, ImagesCamera, Recipe
from inspectd.recipes.book import LineRecipe, RecipeBook, of_file, title_of
from inspectd.records import Exposure


def recipe(name: str, version: int, *, cameras: dict[str, str] | None = None) -> LineRecipe:
    keys = cameras or {"top": f"{name}@{version}", "side": f"{name}@{version}/side"}
    return LineRecipe(
        id=name,
        version=version,
        number=ord(name[0]),
        places=keys,
        deadlines_ns=dict.fromkeys(keys.values(), 5),
    )


FROM_FILE = LineRecipe(places={"top": "cells", "side": "cells"}, deadlines_ns={"cells": 1, "spare": 2})
CAMERA = ImagesCamera(name="top", recipe="cells", folder="/x")
A1, A2, B1 = recipe("a", 1), recipe("a", 2), recipe("b", 1)


@pytest.fixture
def book() -> RecipeBook:
    made = RecipeBook(FROM_FILE)
    for each in (A1, A2, B1):
        made.add(each)
    return made


def test_a_frame_is_judged_by_what_was_in_force_when_it_was_captured(book):
    book.put_in_force(A1, 100)
    book.put_in_force(B1, 200)
    seen = [book.key_of_frame("side", Exposure(at, at)).key for at in (0, 100, 101, 200, 201)]
    assert seen == ["cells", "cells", "a@1/side", "a@1/side", "b@1/side"]
    assert [book.key_of_part(place) for place in ("top", "side")] == ["b@1", "b@1/side"]


@pytest.mark.parametrize(
    ("exposed", "key", "is_certain"),
    [
        ((90, 100), "cells", True),
        ((90, 101), "cells", False),
        ((101, 200), "a@1/side", True),
        ((101, 201), "a@1/side", False),
        ((90, 300), "cells", False),
        ((201, 300), "b@1/side", True),
    ],
)
def test_what_judges_a_frame_is_certain_only_where_none_was_put_in_force_meanwhile(
    book, exposed, key, is_certain
):
    book.put_in_force(A1, 100)
    book.put_in_force(B1, 200)
    assert book.key_of_frame("side", Exposure(*exposed)) == (key, is_certain)


def test_a_recipe_from_before_the_last_seconds_is_forgotten(book):
    book.put_in_force(A1, 100)
    book.put_in_force(B1, 100 + 5 * 10**9)
    book.remove(FROM_FILE)
    assert book.is_loaded("cells")  # a frame of then may still come
    book.put_in_force(A2, 200 + 10 * 10**9)
    assert not book.is_loaded("cells")


def test_a_trigger_means_the_recipe_in_force_before_another_version(book):
    assert book.key_named("a", "top") == "a@2"
    assert book.key_named("spare", "top") == "spare"
    assert book.key_named("none", "top") is None
    assert book.key_named("a", "nobody") is None
    book.put_in_force(A1, 0)
    assert book.key_named("a", "side") == "a@1/side"
    assert book.names == ["a", "cells", "spare", "b"]


def test_a_number_means_the_one_recipe_that_has_it_or_none(book):
    assert (book.find(ord("b"), None), book.find(ord("a"), None), book.find(ord("a"), 1)) == (B1, A2, A1)
    renumbered = msgspec.structs.replace(recipe("a", 3), number=ord("c"))
    book.add(renumbered)
    assert book.find(ord("a"), None) is A2  # not the newest, whose number is another one
    assert book.find("a", None) is renumbered
    heir = msgspec.structs.replace(recipe("heir", 1), number=ord("a"))
    book.add(heir)
    assert (book.find(ord("a"), None), book.find(ord("a"), 1), book.find(ord("a"), 2)) == (None, None, None)
    book.remove(A1)
    book.remove(A2)
    assert book.find(ord("a"), None) is heir


def test_a_frame_that_may_still_be_in_time_is_judged_by_the_recipe_of_its_capture():
    slow = LineRecipe(places={"top": "slow"}, deadlines_ns={"slow": 60 * 10**9})
    book = RecipeBook(slow)
    book.add(A1)
    book.add(B1)
    book.put_in_force(A1, 10**9)
    book.put_in_force(B1, 20 * 10**9)
    assert book.key_of_frame("top", Exposure(0, 0)).key == "slow"


def test_what_was_used_last_is_kept_longest(book):
    book.put_in_force(A1, 0)
    assert [each.name for each in book.loaded] == ["a@2", "b@1", "file", "a@1"]  # it was in force until now
    assert book.key_named("b", "top") == "b@1"
    assert [each.name for each in book.loaded] == ["a@2", "file", "b@1", "a@1"]
    book.remove(A2)
    assert book.find("a", None) is A1
    with pytest.raises(ValueError, match="a@1 is in force"):
        book.remove(A1)


def test_a_name_or_number_means_what_was_in_force_last_and_no_other_version(book):
    book.put_in_force(A2, 0)
    book.put_in_force(A1, 1)  # a rollback
    book.put_in_force(B1, 2)
    assert book.find("a", None) is book.find(ord("a"), None) is A1
    assert book.key_named("a", "top") == "a@1"
    book.remove(A1)
    assert (book.find("a", None), book.find(ord("a"), None), book.key_named("a", "top")) == (None, None, None)
    assert "a" not in book.names
    assert book.find("a", 2) is A2  # who names it gets it
    book.put_in_force(A2, 3)
    assert book.find("a", None) is A2


def test_what_was_in_force_before_the_start_counts_less_than_what_is_since(book):
    book.put_in_force(B1, 0)
    book.remember({"a": 1, "b": 7})
    assert (book.find("a", None), book.find("b", None)) == (A1, B1)


def test_where_it_is_not_known_what_was_in_force_no_other_version_is_guessed(book):
    book.put_in_force(B1, 0)
    book.remember({}, is_all=False)
    assert (book.find("a", None), book.find(ord("a"), None), book.key_named("a", "top")) == (None, None, None)
    assert (book.find("b", None), book.find("file", None), book.find("a", 1)) == (B1, FROM_FILE, A1)
    assert (book.key_named("spare", "top"), book.names) == ("spare", ["b", "cells", "spare"])
    book.mean(A1)  # the store knows after all
    assert (book.find("a", None), book.key_named("a", "top")) == (A1, "a@1")


def file_recipe(version, threshold):
    recipes = (Recipe(name="cells", bank="/b", threshold=threshold),)
    return of_file(Config(recipes=recipes, cameras=(CAMERA,)), version=version)


def test_each_reading_of_the_file_has_keys_and_a_name_of_its_own_and_the_names_of_the_file():
    first, second = file_recipe(0, 0.5), file_recipe(3, 0.5)
    assert (first.name, first.places["top"]) == ("file", "cells")
    assert (second.name, second.places["top"]) == ("file@3", "cells#3")
    assert [each.name for each in second.recipes] == ["cells#3"]
    assert not first.keys & second.keys
    book = RecipeBook(first)
    book.add(second)
    assert book.key_named("cells", "top") == "cells"  # of the one in force
    book.put_in_force(second, 0)
    assert book.key_named("cells", "top") == "cells#3"
    assert book.names == ["cells"]
    assert book.recipe("cells") == book.recipe("cells#3")  # so they have one sha256


CELLS, CELLS_2 = recipe("cells", 1), recipe("cells", 2)


def test_a_name_that_the_file_and_the_store_share_means_the_one_in_force_last(book):
    book.put_in_force(B1, 1)
    book.add(CELLS)
    assert book.key_named("cells", "top") == "cells"  # of the file, which judged as the line began
    book.put_in_force(CELLS, 2)
    book.put_in_force(B1, 3)
    for version in (1, 2, 3):  # however often the file is read again
        book.add(file_recipe(version, 0.5))
        assert (book.key_named("cells", "top"), book.find("file", None).version) == ("cells@1", version)
    book.remove(CELLS)
    book.add(CELLS_2)
    assert (book.key_named("cells", "top"), "cells" in book.names) == (None, False)
    book.put_in_force(file_recipe(3, 0.5), 4)
    book.put_in_force(B1, 5)
    assert (book.key_named("cells", "top"), book.names.count("cells")) == ("cells#3", 1)


def test_a_name_that_was_never_decided_between_the_file_and_the_store_means_none():
    book = RecipeBook(B1)
    book.remember({"b": 1})
    book.add(CELLS)
    assert book.key_named("cells", "top") == "cells@1"
    book.add(FROM_FILE)
    assert (book.key_named("cells", "top"), book.key_named("spare", "top")) == (None, "spare")
    assert book.names == ["b", "spare"]
    book.put_in_force(CELLS, 0)
    book.put_in_force(B1, 1)
    assert book.key_named("cells", "top") == "cells@1"


@pytest.mark.parametrize(
    ("last_first", "key"), [(("b", "file", "cells"), "cells"), (("b", "cells", "file"), "cells@1")]
)
def test_which_of_the_two_was_in_force_last_is_known_after_a_restart(last_first, key):
    versions = {name: {"file": 0}.get(name, 1) for name in last_first}
    book = RecipeBook(B1)
    book.remember(versions, names_of_file=FROM_FILE.names)
    for each in (CELLS, FROM_FILE):
        book.add(each)
    assert book.key_named("cells", "top") == key
    assert book.find("cells", None) is CELLS


def test_what_is_withheld_is_got_by_its_version_alone(book):
    book.withheld = "a@2"
    assert book.find("a", None) is A1
    assert book.key_named("a", "top") == "a@1"
    assert book.find("a", 2) is A2
    book.withheld = None
    assert book.find("a", None) is A2


@pytest.mark.parametrize(
    ("key", "title"),
    [("cells", ("cells", None)), ("cells#12", ("cells", None)), ("a@12", ("a", 12)), ("a@3/side", ("a", 3))],
)
def test_a_key_names_recipe_and_version(key, title):
    assert title_of(key) == title


@pytest.mark.parametrize("is_in_force", [True, False])
def test_a_name_that_the_file_has_no_more_is_free_for_the_store(is_in_force):
    book = RecipeBook(FROM_FILE)
    later = LineRecipe(version=1, places={"top": "cells#1"}, deadlines_ns={"cells#1": 1})
    book.add(later)
    book.put_in_force(later if is_in_force else A1, 100)
    spare = recipe("spare", 1)
    book.add(spare)
    book.remove(FROM_FILE)
    assert book.key_named("spare", "top") is None
    book.use_file(later)
    assert book.key_named("spare", "top") == "spare@1"
