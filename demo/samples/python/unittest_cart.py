"""The same cart under the standard library's unittest."""

import unittest

from shop.cart import PRICES, Cart, UnknownArticle


class CartTest(unittest.TestCase):
    def setUp(self):
        self.cart = Cart()

    def test_an_empty_cart_costs_nothing(self):
        self.assertEqual(self.cart.total(), 0)

    def test_unknown_articles_are_refused(self):
        with self.assertRaises(UnknownArticle):
            self.cart.add("unicorn")

    def test_removing_what_is_not_there_does_nothing(self):
        self.cart.remove("tea")

    def test_every_article_has_a_round_price(self):
        for article, price in sorted(PRICES.items()):
            with self.subTest(article=article):
                self.assertEqual(price % 10, 0)

    @unittest.skip("vouchers are not for sale yet")
    def test_vouchers(self):
        raise NotImplementedError

    @unittest.expectedFailure
    def test_norway(self):
        self.assertIn("lutefisk", PRICES)

    def test_output_is_kept(self):
        print("ringing up <milk> & bread ✓")
        self.assertEqual(len(PRICES), 4, "five articles, not four")


if __name__ == "__main__":
    unittest.main()
