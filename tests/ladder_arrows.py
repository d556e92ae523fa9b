"""The arrows of a ladder, read back."""

import re

CLEAR, HANDSHAKE, APPLICATION = "in the clear", "handshake keys", "application keys"


def arrows(text: str) -> list[tuple[str, str, str]]:
    """Direction, message and keys of each arrow, checked against the arrow's style."""
    styles = {CLEAR: "─", HANDSHAKE: "═", APPLICATION: "━"}
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"│(◀?)([─═━])+ (.+) · \d+ bytes? · (.+?) ([─═━])+(▶?)│", line)
        if match:
            assert match[2] == match[5] == styles[match[4]], line
            assert (match[1] == "") == (match[6] != ""), line
            found.append((match[6] or match[1], match[3], match[4]))
    return found
