package shop;

import static org.junit.Assert.assertEquals;
import static org.junit.Assume.assumeTrue;

import java.util.Map;
import org.junit.Ignore;
import org.junit.Test;

/** JUnit 4 under Maven Surefire. SHOP_REVISION=2 stands for a later commit. */
public class CartTest {
    private static final boolean LATER = "2".equals(System.getenv("SHOP_REVISION"));
    private static final Map<String, Integer> PRICES =
            Map.of("apple", 40, "bread", 250, "coffee", 720, "milk", 119, "tea", 380);
    private static int tries;

    private int total(String article, int quantity) {
        return PRICES.get(article) * quantity - (LATER && quantity > 10 ? 1 : 0); // the new defect of revision 2
    }

    @Test
    public void oneAppleCostsForty() {
        assertEquals(40, total("apple", 1));
    }

    @Test
    public void twoLoavesCostFiveHundred() {
        assertEquals(500, total("bread", 2));
    }

    @Test
    public void aDozenTeasCostTwelveTimesAsMuch() {
        assertEquals(4560, total("tea", 12));
    }

    @Test
    public void unicornsHaveNoPrice() {
        total("unicorn", 1);
    }

    @Test
    public void theWarehouseAnswers() {
        System.out.println("asking the warehouse, try " + (++tries));
        if (LATER && tries == 1) {
            throw new IllegalStateException("the warehouse did not answer");
        }
    }

    @Test
    public void theOldRegisterIsWrong() {
        assertEquals("three cents short & <counting>", 720, LATER ? 720 : total("coffee", 1) - 3);
    }

    @Test
    public void exportsAreOffInThisShop() {
        assumeTrue("exports are off", false);
    }

    @Ignore("vouchers are not for sale yet")
    @Test
    public void vouchers() {}

    @Test
    public void slowInventory() throws InterruptedException {
        Thread.sleep(LATER ? 400 : 10);
    }
}
