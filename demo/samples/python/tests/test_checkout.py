import os
import sys
import time

import pytest

from shop import REVISION
from shop.cart import Cart
from shop.pricing import discount, shipping

calls = []


@pytest.fixture
def payment():
    """Stands for a payment service that is out of order: the set-up of its test ends in an error."""
    raise ConnectionRefusedError("payment.test:443 refused the connection")


@pytest.fixture
def receipt():
    yield "receipt"
    if REVISION == 2:
        raise OSError("the receipt printer is out of paper")


def test_the_warehouse_answers():
    calls.append(1)
    print(f"asked the warehouse, call {len(calls)}")
    print("the warehouse is slow today", file=sys.stderr)
    if REVISION == 2 and len(calls) == 1 and "SHOP_RETRY" not in os.environ:
        raise TimeoutError("the warehouse did not answer within 3 seconds")


def test_paying(payment):
    assert payment


def test_the_receipt_is_printed(receipt):
    assert receipt == "receipt"


def test_a_large_order_is_packed_in_time():
    time.sleep(0.6 if REVISION == 2 else 0.02)


def test_a_whole_purchase():
    cart = Cart()
    cart.add("coffee", 3)
    cart.add("bread", 2)
    total = cart.total()
    assert total - discount(total) + shipping(total) == 2660 + 490
