"""Baskets of articles. Prices are whole cents."""

from . import REVISION

PRICES = {"apple": 40, "bread": 250, "coffee": 720, "milk": 119, "tea": 380}


class UnknownArticle(LookupError):
    """The shop does not sell this."""


class Cart:
    """What one customer wants to buy."""

    def __init__(self):
        self.items = {}

    def add(self, article, quantity=1):
        if article not in PRICES:
            raise UnknownArticle(article)
        if quantity < 1:
            raise ValueError(f"quantity must be positive, not {quantity}")
        self.items[article] = self.items.get(article, 0) + quantity

    def remove(self, article):
        if REVISION == 1 and article not in self.items:  # repaired in revision 2
            raise KeyError(article)
        self.items.pop(article, None)

    def total(self):
        return sum(PRICES[article] * quantity for article, quantity in self.items.items())
