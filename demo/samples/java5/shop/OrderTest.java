package shop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Disabled;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("An order")
class OrderTest {
    @ParameterizedTest(name = "{0} x {1} = {2}")
    @CsvSource({"40, 1, 40", "250, 2, 500", "380, 3, 1141"})
    void total(int price, int quantity, int total) {
        assertEquals(total, price * quantity);
    }

    @RepeatedTest(3)
    void isRepeatable() {}

    @Test
    @Disabled("vouchers are not for sale yet")
    void vouchers() {}

    @Nested
    @DisplayName("when it is empty")
    class Empty {
        @Test
        @DisplayName("costs nothing \u2714")
        void costsNothing() {
            assertEquals(0, 0);
        }

        @Test
        void cannotBePaid() {
            assertThrows(IllegalStateException.class, () -> { throw new IllegalStateException("empty"); });
        }
    }

    @AfterAll
    static void closeTheTill() {
        System.out.println("the till is closed");
    }
}
