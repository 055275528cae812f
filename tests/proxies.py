"""A TCP proxy on loopback that can be slow, or let nothing through for a while."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self


class Proxy:
    """Forward connections to a port on loopback; a context manager.

    `delay` holds back each chunk by so many seconds. What is sent while the proxy is cut arrives once it is restored,
    as with a network that loses packets: nobody sees an end of the connection.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passing = Event()
        self._passing.set()
        self._sockets: set[socket.socket] = set()
        self._lock = Lock()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Let nothing through, in either direction."""
        self._passing.clear()

    def restore(self) -> None:
        """Let everything through again."""
        self._passing.set()

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._passing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._passing.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        with self._lock:
            self._sockets |= {client, server}
        pumps = [Thread(target=self._pump, args=pair, daemon=True) for pair in ((client, server), (server, client))]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.delay:
                    time.sleep(self.delay)
                self._passing.wait()
                sink.sendall(data)
        self._passing.wait()
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
