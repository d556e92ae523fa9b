"""Thin typed adapters over ``cryptography``: AEADs, key exchange groups and signature schemes by their TLS names."""
