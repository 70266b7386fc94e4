from behave import given, then, when

from shop.cart import Cart


@given("an empty cart")
def empty_cart(context):
    context.cart = Cart()


@when("I add {quantity:d} {article:w}")
def add(context, quantity, article):
    context.cart.add(article, quantity)


@then("the total is {total:d}")
def check(context, total):
    assert context.cart.total() == total, f"{context.cart.total()} is not {total}"
