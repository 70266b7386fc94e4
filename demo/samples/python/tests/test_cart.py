import pytest

from shop import REVISION
from shop.cart import PRICES, Cart, UnknownArticle


@pytest.fixture
def cart():
    return Cart()


@pytest.mark.parametrize("article", sorted(PRICES))
def test_one_article_costs_its_price(cart, article):
    cart.add(article)
    assert cart.total() == PRICES[article]


@pytest.mark.parametrize("quantity", [1, 2, 5, 10, 99])
def test_quantities_multiply(cart, quantity):
    cart.add("apple", quantity)
    assert cart.total() == 40 * quantity


@pytest.mark.parametrize("quantity", [0, -1, -100])
def test_quantities_must_be_positive(cart, quantity):
    with pytest.raises(ValueError, match="positive"):
        cart.add("apple", quantity)


class TestContents:
    def test_an_empty_cart_costs_nothing(self, cart):
        assert cart.total() == 0

    def test_adding_twice_adds_up(self, cart):
        cart.add("milk")
        cart.add("milk", 2)
        assert cart.items == {"milk": 3}

    def test_unknown_articles_are_refused(self, cart):
        with pytest.raises(UnknownArticle):
            cart.add("unicorn")

    def test_removing_takes_all_of_it(self, cart):
        cart.add("tea", 3)
        cart.remove("tea")
        assert cart.total() == 0

    def test_removing_what_is_not_there_does_nothing(self, cart):
        cart.remove("tea")
        assert cart.items == {}


@pytest.mark.skip(reason="vouchers are not for sale yet")
def test_vouchers_can_be_bought(cart):
    cart.add("voucher")


@pytest.mark.skipif(REVISION == 2, reason="the label printer is away for repair")
def test_labels_are_printed(cart):
    print("printing <label> & \"receipt\" for café №1")
    assert cart.items == {}


if REVISION == 1:

    def test_the_old_till_still_rings(cart):
        assert cart.total() == 0

else:

    @pytest.mark.parametrize("article", ["apple", "milk"])
    def test_the_new_till_shows_the_article(article):
        assert article in PRICES
