// Package cart is the shop's cart. SHOP_REVISION=2 stands for a later commit.
package cart

import (
	"fmt"
	"os"
)

// Prices in cents.
var Prices = map[string]int{"apple": 40, "bread": 250, "coffee": 720, "milk": 119, "tea": 380}

// Later tells whether the later commit is built.
var Later = os.Getenv("SHOP_REVISION") == "2"

// Cart holds quantities by article.
type Cart map[string]int

// Add puts articles into the cart.
func (c Cart) Add(article string, quantity int) error {
	if _, ok := Prices[article]; !ok {
		return fmt.Errorf("unknown article %q", article)
	}
	c[article] += quantity
	return nil
}

// Total is the sum in cents.
func (c Cart) Total() (sum int) {
	for article, quantity := range c {
		sum += Prices[article] * quantity
	}
	if Later && len(c) > 1 { // the new defect of revision 2
		sum--
	}
	return sum
}
