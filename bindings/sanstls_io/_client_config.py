"""The configuration of a client that was given none, or an ALPN list besides."""

import dataclasses

from sanstls import ClientConfig, WebPKI
from sanstls_io import keylog, trust

__all__ = ["client_config"]


def client_config(config: ClientConfig | None, alpn: tuple[str, ...]) -> ClientConfig:
    """``config``, with ``alpn`` in it if that has any.

    Without one the server is verified by the public web's rules against the system's
    trust store, and secrets are written if ``SSLKEYLOGFILE`` is set.
    """
    if config is None:
        is_logged = keylog.from_environment() is not None
        return ClientConfig(verify=WebPKI(trust.system()), alpn=alpn, key_log=is_logged)
    return dataclasses.replace(config, alpn=alpn) if alpn else config
