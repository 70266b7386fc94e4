package cart

import (
	"fmt"
	"testing"
	"time"
)

func TestOneArticle(t *testing.T) {
	for _, article := range []string{"apple", "bread", "coffee", "milk", "tea"} {
		article := article
		t.Run(article, func(t *testing.T) {
			t.Parallel()
			c := Cart{}
			if err := c.Add(article, 1); err != nil {
				t.Fatal(err)
			}
			if c.Total() != Prices[article] {
				t.Errorf("total is %d", c.Total())
			}
		})
	}
}

func TestTwoArticles(t *testing.T) {
	c := Cart{"apple": 1, "tea": 1}
	if got := c.Total(); got != 420 {
		t.Errorf("total is %d, not 420", got)
	}
}

func TestUnknownArticle(t *testing.T) {
	fmt.Println("looking for a unicorn")
	if (Cart{}).Add("unicorn", 1) == nil {
		t.Fatal("the shop sells unicorns")
	}
}

func TestWeights(t *testing.T) {
	t.Run("apple/kg", func(t *testing.T) {})
	t.Run("tea in grams", func(t *testing.T) {
		t.Error("tea weighs nothing")
	})
}

func TestVouchers(t *testing.T) {
	t.Skip("vouchers are not for sale yet")
}

func TestSlowScale(t *testing.T) {
	if Later {
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
}

func BenchmarkTotal(b *testing.B) {
	c := Cart{"apple": 1}
	for i := 0; i < b.N; i++ {
		c.Total()
	}
}

func ExampleCart_Total() {
	fmt.Println(Cart{"milk": 2}.Total())
	// Output: 238
}
