"""The record layer: framing, and the keys in use (RFC 9846 5). It knows records, not what is said in them."""
