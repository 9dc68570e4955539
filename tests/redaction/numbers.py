"""Numbers that people key: of cards, and of everything else."""

from __future__ import annotations

from random import Random

from gateway.redaction.codes import KEYS
from gateway.redaction.digit import Digit

# Prefixes of the schemes with the lengths their numbers have, as in the schemes' own tables.
CARDS = {
    "visa": (("4",), (16, 19)),
    "visa_13": (("4",), (13,)),
    "mastercard": (("51", "52", "53", "54", "55", "2221", "2345", "2699", "2720"), (16,)),
    "amex": (("34", "37"), (15,)),
    "diners": (("300", "305", "3095", "36", "38", "39"), (14, 16)),
    "discover": (("6011", "644", "649", "65"), (16, 19)),
    "jcb": (("3528", "3550", "3589"), (16, 19)),
    "unionpay": (("622126", "6250", "6282"), (16, 17, 18, 19)),
    "maestro": (("5018", "5020", "5612", "5893", "6304", "6759", "6763"), (13, 16, 18, 19)),
}


def check_digit(number: str) -> str:
    """The digit that makes a number right (Luhn), the plain way."""
    total = 0
    for place, key in enumerate(reversed(number)):
        total += sum(map(int, str(int(key) * 2))) if place % 2 == 0 else int(key)
    return str(-total % 10)


def digits(random: Random, count: int) -> str:
    return "".join(random.choice("0123456789") for _ in range(count))


def card(random: Random, scheme: str) -> str:
    """A number of a scheme with the right check digit."""
    prefixes, lengths = CARDS[scheme]
    prefix, length = random.choice(prefixes), random.choice(lengths)
    body = prefix + digits(random, length - 1 - len(prefix))
    return body + check_digit(body)


def telephone(random: Random) -> str:
    """A British number as it is dialled."""
    national = random.choice(("7", "1", "20", "28", "3", "1")) + digits(random, 9)
    return random.choice(("0", "0044", "44", "0", "9" + "0")) + national[:10]


def keys(text: str) -> list[Digit]:
    return [Digit(KEYS.index(key)) for key in text]
