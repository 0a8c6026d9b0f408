"""Reads HTML pages as strictly as tests want them."""

from __future__ import annotations

from html.parser import HTMLParser


class Tags(HTMLParser):
    """Tags that are open, and the number of pictures; each of those lies in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images += 1
            assert str(dict(attrs)["src"]).startswith("data:image/jpeg;base64,")
        elif tag not in {"meta", "br", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
