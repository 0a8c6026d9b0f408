from __future__ import annotations

from pathlib import Path

import pytest
from support.recipes import draft

from inspectd.recipes.store import RecipeStore


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with cells@1, and its archive beside it."""
    folder = tmp_path_factory.mktemp("whole")
    store = RecipeStore(folder / "recipes", clock_ns=lambda: 10**18)
    store.add(draft(folder / "sources"))
    store.export("cells", 1, folder / "cells.zip")
    return folder


@pytest.fixture
def there(tmp_path: Path) -> RecipeStore:
    """Another line's store, which holds glass@1 with number 40."""
    store = RecipeStore(tmp_path / "there", clock_ns=lambda: 10**18)
    store.add(draft(tmp_path / "sources", id="glass", number=40))
    return store
