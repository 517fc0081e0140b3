"""Parses a page into its elements, their attributes, and its text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

_BLOCKS = {"dd", "div", "dt", "h1", "h2", "h3", "li", "option", "p", "td", "th", "title", "tr"}
"""Elements that are displayed apart from the text before them, so a space is added."""


class Element(NamedTuple):
    """A start tag."""

    name: str
    attributes: dict[str, str]


class Markup(HTMLParser):
    """The elements and the text of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag in _BLOCKS:
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str]]:
        """The attributes of each element with a name."""
        return [element.attributes for element in self.elements if element.name == name]

    def addresses(self) -> list[str]:
        """The URLs of all links and of all resources."""
        return [
            address
            for element in self.elements
            for attribute in ("href", "src", "action", "data", "poster", "srcset", "xlink:href")
            if (address := element.attributes.get(attribute)) is not None
        ]

    def said(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())
