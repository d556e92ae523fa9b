"""Who says what, and when: each handshake is one function that reads downward beside the RFC."""
