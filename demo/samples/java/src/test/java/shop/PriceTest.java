package shop;

import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import java.util.Collection;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameter;
import org.junit.runners.Parameterized.Parameters;

@RunWith(Parameterized.class)
public class PriceTest {
    @Parameters(name = "{0}")
    public static Collection<Object[]> data() {
        return Arrays.asList(new Object[][] {{"apple", 40}, {"bread", 250}, {"coffee", 720}, {"milk", 119}, {"tea", 380}});
    }

    @Parameter(0)
    public String article;

    @Parameter(1)
    public int price;

    @Test
    public void isPositive() {
        assertTrue(price > 0);
    }

    @Test
    public void isBelowTenEuros() {
        assertTrue(price < 1000);
    }
}
