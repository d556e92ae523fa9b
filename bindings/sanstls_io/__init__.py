"""What touches sockets, files and the system: the thin layers on :mod:`sanstls`, which itself does no I/O.

Each module stands for itself, and only what is imported is loaded:

- :mod:`sanstls_io.blocking`: plain sockets: ``connect``, ``TLSSocket`` and a threaded ``serve``;
- :mod:`sanstls_io.anyio`: anyio, on asyncio and on trio: ``connect_tcp``, ``TLSStream``, ``TLSListener``;
- :mod:`sanstls_io.httpcore`: transports for httpx, and network backends for httpcore;
- :mod:`sanstls_io.trust`: the root certificates that the system trusts;
- :mod:`sanstls_io.keylog`: the file that ``SSLKEYLOGFILE`` names.

``python -m sanstls_io.demo`` shows handshakes, message by message.
"""
