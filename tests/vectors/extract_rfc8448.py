"""Turn the traces of RFC 8448 (Example Handshake Traces for TLS 1.3) into JSON.

Usage, from the root of the repository, with the text of the RFC (https://www.rfc-editor.org/rfc/rfc8448.txt)::

    python tests/vectors/extract_rfc8448.py rfc8448.txt > tests/vectors/rfc8448.json

The script needs nothing but the standard library, and the same text always gives the same JSON. It stops with a
``TraceError`` if anything isn't as expected: each "(NN octets)" is compared with what was read, no line of a trace
may be left over, the records' payloads have to be the handshake messages, and a value given twice has to be the same.

The JSON is ``{"source": ..., "server_rsa_key": {...}, "sections": {"3": {...}, ... "7": {...}}}``, all bytes in hex:

``server_rsa_key``
    From section 2, for the server's certificate of sections 3, 5 and 7 (section 4 has no certificate, and section 6
    others, whose private keys the RFC doesn't give). By the RFC's labels: "modulus (public)", "public exponent",
    "private exponent", "prime1", "prime2", "exponent1", "exponent2" and "coefficient".

And for each section:

``title``
    As in the RFC.
``steps``
    All that the RFC tells, in its order: ``{"side": "client" | "server", "action": ..., "values": {label: hex}}``,
    with the RFC's words for action and labels. A step without values says in its action what it equals ("(same as
    server)"). Two values are no hex in the RFC: "salt: 0 (all zero octets)" is 32 zero octets here (HashLen, for
    SHA-256), and "hash (0 octets): (empty)" is the empty string.
``messages``
    ``[sender, name, hex]`` of all handshake messages, complete with their headers, in the order in which they belong
    to the transcript. The names are the RFC's, but for the HelloRetryRequest of section 5, which the RFC calls
    ServerHello. The ClientHello of section 4 is the one with the PSK binder, as it was sent; what the RFC constructs
    (and hashes for the binder) before that ends in front of the binders.
``records``
    ``[sender, hex of the complete record, description]``, in the order of the RFC.
``record_contents``
    What is in each of the records, at the same index: ``[epoch, sequence number, hex of the plaintext]``. The epoch
    names the keys that protect the record ("plaintext", "early", "handshake" or "application"), and the plaintext is
    without content type and padding (no record of the RFC is padded).
``secrets``
    Name to hex: "early", "handshake", "master", "c hs traffic", "s hs traffic", "c ap traffic", "s ap traffic",
    "exp master" and "res master". Also "derived for handshake" and "derived for master", which are the salts of the
    next extraction; in section 3 "resumption" (the PSK of the ticket); and in section 4 "c e traffic",
    "e exp master" and "binder key".
``finished``
    Side to hex of the verify_data. ``binder`` is the same for the PSK binder of section 4, elsewhere null.
``psk``, ``shared_secret``
    What the early secret and the handshake secret were extracted from: hex, or null where there is no PSK.
``keys``
    Side to epoch to ``{"key": hex, "iv": hex}``: what the side writes with ("early" only for section 4's client).
``client_private_keys``, ``server_private_keys``
    ``{"group": "x25519" | "P-256", "private": hex, "public": hex}`` of each ephemeral key, in order (section 5's
    client makes two). Public keys are as in a key share, so those for P-256 are uncompressed points.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = "RFC 8448, Example Handshake Traces for TLS 1.3 (https://www.rfc-editor.org/rfc/rfc8448.txt)"
SECTIONS = (3, 4, 5, 6, 7)
HASH_LENGTH = 32

HEADING = re.compile(r"(\d+)\.  (\S.*)")
PAGE_FOOTER = re.compile(r"Thomson +Informational +\[Page \d+\]")
PAGE_HEADER = re.compile(r"RFC 8448 +TLS 1\.3 Traces +January 2019")
STEP = re.compile(r"   \{(client|server)\}  (\S.*)")
STEP_CONTINUED = re.compile(r"      (\S.*)")
VALUE = re.compile(r"      (\S[\w ]*?)(?: \((\d+) octets\))?:  (\S.*)")
VALUE_CONTINUED = re.compile(r"         ([0-9a-f]{2}(?: [0-9a-f]{2})*)")
HEX = re.compile(r"[0-9a-f]{2}(?: [0-9a-f]{2})*")

RSA_VALUE = re.compile(r"   ((?:modulus|public|private|prime|exponent|coefficient)[\w ()]*):  (\S.*)")
RSA_CONTINUED = re.compile(r"      ([0-9a-f]{2}(?: [0-9a-f]{2})*)")

HELLO_RETRY_REQUEST_RANDOM = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
CONSTRUCT = re.compile(r"construct an? (\w+) handshake message:")
SEND = re.compile(r"send (\w+) record:")
EXTRACT = re.compile(r'extract secret "(\w+)":')
DERIVE = re.compile(r'derive secret(?: (?:for (\w+)))? "tls13 ([\w ]+)":')
KEY_PAIR = re.compile(r"create an ephemeral (\S+) key pair:")
TRAFFIC_KEYS = re.compile(r"derive (read|write) traffic keys for (handshake|application|early application) data(:| \()")
EPOCHS = {"early application": "early", "handshake": "handshake", "application": "application"}
PEER = {"client": "server", "server": "client"}

Step = dict[str, Any]
Section = dict[str, Any]


class TraceError(Exception):
    """The text isn't what this script expects."""


def require(condition: object, complaint: str) -> None:
    if not condition:
        raise TraceError(complaint)


# -------------------------------------------------------------------------------------------------------- text to steps


def sections_of(text: str) -> dict[int, tuple[str, list[str]]]:
    """The title and the lines of each numbered section, without empty lines and what is only there for the pages.

    Values go on after the end of a page as if nothing was there, and empty lines mean nothing: a line's
    indentation tells what it is.
    """
    sections: dict[int, tuple[str, list[str]]] = {}
    number = 0
    for line in text.replace("\f", "\n").splitlines():
        line = line.rstrip()
        if not line or PAGE_FOOTER.fullmatch(line) or PAGE_HEADER.fullmatch(line):
            continue
        if heading := HEADING.fullmatch(line):
            require(int(heading[1]) == number + 1, f"section {heading[1]} comes after section {number}")
            number = int(heading[1])
            sections[number] = (heading[2], [])
        elif number:
            sections[number][1].append(line)
    return sections


def hex_of(label: str, octets: str | None, written: str) -> str:
    """The value as plain hex; ``octets`` is how many the RFC says there are."""
    if octets is None:
        require((label, written) == ("salt", "0 (all zero octets)"), f"{label} has no length: {written}")
        return "00" * HASH_LENGTH
    if written == "(empty)":
        value = ""
    else:
        require(HEX.fullmatch(written), f"{label} is no hex: {written}")
        value = written.replace(" ", "")
    require(len(value) == 2 * int(octets), f"{label} has {len(value) // 2} octets instead of {octets}")
    return value


def steps_of(lines: list[str]) -> list[Step]:
    """The steps of a trace; the section's introduction in front of them is left out."""
    first = next(index for index, line in enumerate(lines) if STEP.fullmatch(line))
    steps: list[Step] = []
    values: list[tuple[int, str, str | None, list[str]]] = []
    for line in lines[first:]:
        if step := STEP.fullmatch(line):
            steps.append({"side": step[1], "action": step[2], "values": {}})
        elif value := VALUE.fullmatch(line):
            values.append((len(steps) - 1, value[1], value[2], [value[3]]))
        elif more := VALUE_CONTINUED.fullmatch(line):
            require(values and values[-1][0] == len(steps) - 1, f"this belongs to no value: {line}")
            values[-1][3].append(more[1])
        else:
            # Only "(same as ..." goes on in a second line.
            more = STEP_CONTINUED.fullmatch(line)
            require(more and "(" in steps[-1]["action"] and ")" not in steps[-1]["action"], f"can't read: {line}")
            steps[-1]["action"] += " " + line.strip()
    for index, label, octets, written in values:
        of_step: dict[str, str] = steps[index]["values"]
        require(label not in of_step, f"{steps[index]['action']} {label} twice")
        of_step[label] = hex_of(label, octets, " ".join(written))
    for read in steps:
        action: str = read["action"]
        require(read["values"] or "(same as" in action, f"{action} has no values")
        require(action.count("(") == action.count(")"), f"{action} isn't complete")
    return steps


def rsa_key_of(lines: list[str]) -> dict[str, str]:
    key: dict[str, str] = {}
    label = ""
    for line in lines:
        if value := RSA_VALUE.fullmatch(line):
            label = value[1]
            require(label not in key, f"{label} twice")
            key[label] = value[2].replace(" ", "")
        elif more := RSA_CONTINUED.fullmatch(line):
            key[label] += more[1].replace(" ", "")
        else:
            require(not label, f"can't make sense of: {line}")
    (n, e, d, p, q, dp, dq, qi) = (int(value, 16) for value in key.values())
    require(n == p * q and (dp, dq, qi) == (d % (p - 1), d % (q - 1), pow(q, -1, p)), "the RSA key isn't consistent")
    require(e * d % (p - 1) == 1 and e * d % (q - 1) == 1, "the RSA key's exponents don't fit")
    return key


# ------------------------------------------------------------------------------------------------ steps to conveniences


def note(known: dict[str, Any], name: str, value: Any) -> None:
    """Remember a value that may be given more than once (by client and server), but always has to be the same."""
    require(known.setdefault(name, value) == value, f"{name} is given twice, and differs")


def taken_apart(flight: str) -> Iterator[str]:
    """The handshake messages, each with its header, that follow on each other."""
    while flight:
        end = 2 * (4 + int(flight[2:8], 16))
        require(len(flight) >= max(end, 8), "a handshake message ends too early")
        yield flight[:end]
        flight = flight[end:]


def messages_and_records(steps: list[Step]) -> Section:
    messages: list[list[str]] = []
    records: list[list[str]] = []
    contents: list[list[Any]] = []
    unsent: list[tuple[str, str]] = []
    epoch = {"client": "plaintext", "server": "plaintext"}
    sent: dict[tuple[str, str], int] = {}
    for step in steps:
        side, action, values = step["side"], step["action"], step["values"]
        if construct := CONSTRUCT.fullmatch(action):
            [(label, message)] = values.items()
            require(label == construct[1], f"{action} tells of a {label}")
            name = "HelloRetryRequest" if message[12:76] == HELLO_RETRY_REQUEST_RANDOM else label
            unsent.append((name, message))
        elif (traffic := TRAFFIC_KEYS.match(action)) and traffic[1] == "write":
            epoch[side] = EPOCHS[traffic[2]]
        elif send := SEND.fullmatch(action):
            require(list(values) == ["payload", "complete record"], f"{action} has {list(values)}")
            payload, record = values["payload"], values["complete record"]
            if send[1] == "handshake":
                # What was constructed is what is sent; only section 4's ClientHello gets its binders in between
                # (0x21 octets of list, one binder of 0x20).
                for message in taken_apart(payload):
                    name, constructed = unsent.pop(0)
                    require(message == constructed or message.startswith(constructed + "002120"), f"{name} differs")
                    messages.append([side, name, message])
                require(not unsent, f"{unsent} isn't sent")
            require(int(record[6:10], 16) == len(record) // 2 - 5, f"the length of {record} is wrong")
            protected = record.startswith("17")
            # 5 octets of header, then for a protected record 1 octet of content type and 16 of tag.
            require(len(record) - len(payload) == 2 * (22 if protected else 5), f"{record} doesn't fit {payload}")
            require(protected or record.endswith(payload), f"{record} doesn't have {payload}")
            under = epoch[side] if protected else "plaintext"
            number = sent.get((side, under), 0)
            sent[side, under] = number + 1
            records.append([side, record, action.rstrip(":")])
            contents.append([under, number, payload])
    require(not unsent, f"{unsent} isn't sent")
    return {"messages": messages, "records": records, "record_contents": contents}


def secrets_and_keys(steps: list[Step]) -> Section:
    secrets: dict[str, str] = {}
    inputs: dict[str, str] = {}
    finished: dict[str, str] = {}
    keys: dict[str, dict[str, Any]] = {"client": {}, "server": {}}
    pairs: dict[str, list[dict[str, str]]] = {"client": [], "server": []}
    for step in steps:
        side, action, values = step["side"], step["action"], step["values"]
        if not values:
            continue
        if extract := EXTRACT.fullmatch(action):
            note(secrets, extract[1], values["secret"])
            note(inputs, extract[1], values["IKM"])
        elif derive := DERIVE.fullmatch(action):
            note(secrets, f"{derive[2]} for {derive[1]}" if derive[1] else derive[2], values["expanded"])
        elif action == 'generate resumption secret "tls13 resumption":':
            note(secrets, "resumption", values["expanded"])
        elif action == "calculate PSK binder:":
            note(secrets, "binder key", values["PRK"])
            note(inputs, "binder", values["finished"])
        elif action == 'calculate finished "tls13 finished":':
            note(finished, side, values["finished"])
        elif traffic := TRAFFIC_KEYS.match(action):
            writer = side if traffic[1] == "write" else PEER[side]
            note(keys[writer], EPOCHS[traffic[2]], {"key": values["key expanded"], "iv": values["iv expanded"]})
        elif create := KEY_PAIR.fullmatch(action):
            pair = {"group": create[1], "private": values["private key"], "public": values["public key"]}
            pairs[side].append(pair)
        else:
            require(CONSTRUCT.fullmatch(action) or SEND.fullmatch(action), f"don't know the action: {action}")
    for at_least in ("early", "handshake", "master", "exp master", "res master"):
        require(at_least in secrets, f"there is no {at_least}")
    require(all({"handshake", "application"} <= set(epochs) for epochs in keys.values()), "there are too few keys")
    require(set(finished) == {"client", "server"} and pairs["client"] and pairs["server"], "something is missing")
    return {
        "secrets": secrets,
        "finished": finished,
        "binder": inputs.get("binder"),
        "psk": inputs["early"] if inputs["early"].strip("0") else None,
        "shared_secret": inputs["handshake"],
        "keys": keys,
        "client_private_keys": pairs["client"],
        "server_private_keys": pairs["server"],
    }


def extract(text: str) -> dict[str, Any]:
    """All that the module's docstring tells about, from the text of the RFC."""
    sections = sections_of(text)
    traces: dict[str, Section] = {}
    for number in SECTIONS:
        title, lines = sections[number]
        steps = steps_of(lines)
        traces[str(number)] = {
            "title": title,
            **messages_and_records(steps),
            **secrets_and_keys(steps),
            "steps": steps,
        }
    # No value in hex may be lost between the text and the steps.
    for number in SECTIONS:
        promised = sum("octets):" in line for line in sections[number][1])
        salts = sum(line.strip() == "salt:  0 (all zero octets)" for line in sections[number][1])
        read = sum(len(step["values"]) for step in traces[str(number)]["steps"])
        require(promised + salts == read, f"section {number} has {promised + salts} values, and {read} were read")
    return {"source": SOURCE, "server_rsa_key": rsa_key_of(sections[2][1]), "sections": traces}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: extract_rfc8448.py RFC8448.TXT > rfc8448.json", file=sys.stderr)
        return 2
    json.dump(extract(Path(arguments[0]).read_text(encoding="utf-8")), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
