"""Server-sent events, from bytes in pieces of any size."""

from __future__ import annotations

import codecs
from collections.abc import Iterator


class SSEDecoder:
    """However the bytes are cut, the data of the events is the same."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8-sig")()
        self._line = ""
        self._data: list[str] = []
        self._skip_newline = False

    def feed(self, piece: bytes) -> Iterator[str]:
        for char in self._text.decode(piece):
            if self._skip_newline:
                self._skip_newline = False
                if char == "\n":
                    continue
            if char not in "\r\n":
                self._line += char
                continue
            self._skip_newline = char == "\r"
            line, self._line = self._line, ""
            if not line:
                if self._data:
                    yield "\n".join(self._data)
                self._data = []
                continue
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
