"""Discounts, taxes and shipping."""

from . import REVISION

RATES = {"DE": 19, "FR": 20, "IT": 22, "CH": 8}


def discount(total):
    """Ten percent off from 50.00 on."""
    limit = 5000 if REVISION == 1 else 5001  # the new defect of revision 2
    return total // 10 if total >= limit else 0


def tax(total, country):
    """The tax contained in a total, rounded half up."""
    rate = RATES[country]
    return (2 * total * rate + 100 + rate) // (2 * (100 + rate))


def shipping(total, country="DE"):
    """Free from 30.00 on within Germany."""
    if country != "DE":
        return 1290
    return 0 if total >= 3000 else 490


def format_price(cents, currency="EUR"):
    return f"{cents // 100}.{cents % 100:02} {currency}"
