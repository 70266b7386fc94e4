using System;
using System.Collections.Generic;
using NUnit.Framework;

namespace Shop.Tests
{
    [TestFixture]
    public class CartTest
    {
        static readonly Dictionary<string, int> Prices =
            new Dictionary<string, int> { { "apple", 40 }, { "bread", 250 }, { "milk", 119 } };

        [TestCase("apple", 40)]
        [TestCase("bread", 250)]
        [TestCase("a.b(c)", 1)]
        public void HasItsPrice(string article, int price)
        {
            Assert.AreEqual(price, Prices[article]);
        }

        [Test]
        public void ThreeBottlesOfMilk()
        {
            Assert.AreEqual(356, 3 * Prices["milk"], "miscounted <milk>");
        }

        [Test, Ignore("vouchers are not for sale yet")]
        public void Vouchers() { }

        [Test]
        public void Weather()
        {
            Assert.Inconclusive("it depends");
        }
    }

    [TestFixture]
    public class DatabaseTest
    {
        [TestFixtureSetUp]
        public void Connect()
        {
            throw new InvalidOperationException("no database at db.test:5432");
        }

        [Test]
        public void Answers() { }
    }
}
