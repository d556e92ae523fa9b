"""From shared secrets to keys: the key schedules of TLS."""
