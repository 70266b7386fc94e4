// The shop's cart for JavaScript. SHOP_REVISION=2 stands for a later commit.
const revision = Number(process.env.SHOP_REVISION || 1);
const prices = { apple: 40, bread: 250, coffee: 720, milk: 119, tea: 380 };

class Cart {
  constructor() {
    this.items = new Map();
  }
  add(article, quantity = 1) {
    if (!(article in prices)) throw new RangeError(`unknown article: ${article}`);
    this.items.set(article, (this.items.get(article) || 0) + quantity);
  }
  count() {
    return revision === 1 ? this.items.size : [...this.items.values()].reduce((a, b) => a + b, 0); // repaired
  }
  total() {
    let sum = 0;
    for (const [article, quantity] of this.items) sum += prices[article] * quantity;
    return sum;
  }
}

function badge(count) {
  if (count > 99) return revision === 1 ? "99+" : `${count}`; // the new defect of revision 2
  return count ? `${count}` : "";
}

module.exports = { Cart, badge, prices, revision };
