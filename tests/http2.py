"""A caller that speaks HTTP/2 to the gateway and opens the windows of its streams when the test says so."""

from __future__ import annotations

import socket
import time
from types import TracebackType
from urllib.parse import urlsplit

import gateway_process as gp
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

TIMEOUT_S = 20.0


class Answer:
    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.ended = False
        self.reset_by: int | None = None
        # Bytes that were received and whose window was not given back.
        self.unread = 0


class Http2:
    """One connection, whose own window is always open: only the streams' are the test's."""

    def __init__(self, gateway: gp.Gateway) -> None:
        address = urlsplit(gateway.url)
        self.key = gateway.key
        self.socket = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S)
        self.http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.is_open = True
        self.http2.initiate_connection()
        self._send()

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.socket.close()

    def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """Sends a request; gives its stream."""
        stream = self.http2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        head = {":method": method, ":path": path, ":scheme": "http", ":authority": "gateway"}
        self.http2.send_headers(stream, [*head.items(), ("authorization", f"Bearer {self.key}")], end_stream=not body)
        if body:
            self.http2.send_data(stream, body, end_stream=True)
        self._send()
        return stream

    def read(self, stream: int, most: int) -> None:
        """Gives back the window of so many bytes at most of those that have come."""
        answer = self.answers[stream]
        count = min(most, answer.unread)
        if count and not answer.ended:
            self.http2.increment_flow_control_window(count, stream)
            answer.unread -= count
            self._send()

    def listen(self, seconds: float) -> None:
        """Takes what comes within a time."""
        end = time.monotonic() + seconds
        while self.is_open and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65_536)
            except TimeoutError:
                return
            if not data:
                self.is_open = False
                return
            self._take(data)

    def until_over(self, stream: int, read: bool = True) -> Answer:
        """Takes what comes until the stream is over, and reads it as it comes if that is wanted."""
        answer, end = self.answers[stream], time.monotonic() + TIMEOUT_S
        while not answer.ended and answer.reset_by is None:
            assert self.is_open and time.monotonic() < end, "the stream is not over"
            self.listen(0.02)
            if read:
                self.read(stream, answer.unread)
        return answer

    def _take(self, data: bytes) -> None:
        for event in self.http2.receive_data(data):
            match event:
                case ResponseReceived():
                    self.answers[event.stream_id].status = int(dict(event.headers)[":status"])
                case DataReceived():
                    answer = self.answers[event.stream_id]
                    answer.body += event.data
                    answer.unread += event.flow_controlled_length
                    if event.flow_controlled_length:
                        self.http2.increment_flow_control_window(event.flow_controlled_length)
                case StreamEnded():
                    self.answers[event.stream_id].ended = True
                case StreamReset():
                    self.answers[event.stream_id].reset_by = event.error_code
                case ConnectionTerminated():
                    self.is_open = False
        self._send()

    def _send(self) -> None:
        self.socket.sendall(self.http2.data_to_send())
