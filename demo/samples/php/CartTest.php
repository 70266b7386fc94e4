<?php
use PHPUnit\Framework\TestCase;

final class CartTest extends TestCase
{
    private const PRICES = ['apple' => 40, 'bread' => 250, 'milk' => 119];

    public function prices(): array
    {
        return ['an apple' => ['apple', 40], 'a "loaf"' => ['bread', 250], 'milk' => ['milk', 120]];
    }

    /** @dataProvider prices */
    public function testPrice(string $article, int $price): void
    {
        $this->assertSame($price, self::PRICES[$article]);
    }

    public function testUnicorn(): void
    {
        throw new OutOfBoundsException('unknown article: unicorn');
    }

    public function testVouchers(): void
    {
        $this->markTestSkipped('vouchers are not for sale yet');
    }

    public function testGiftCards(): void
    {
        $this->markTestIncomplete('gift cards come in spring');
    }

    public function testNothing(): void
    {
    }

    public function testOutput(): void
    {
        echo "ringing up <milk>\n";
        $this->assertTrue(true);
    }
}
