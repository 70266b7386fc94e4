package shop;

import org.junit.BeforeClass;
import org.junit.Test;

public class BrokenSetUpTest {
    @BeforeClass
    public static void connect() {
        throw new IllegalStateException("no database at db.test:5432");
    }

    @Test
    public void neverRuns() {}
}
