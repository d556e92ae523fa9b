"""The bytes of TLS: messages, extensions, records and registries, without keys and without state."""
