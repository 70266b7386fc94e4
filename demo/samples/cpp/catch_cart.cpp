#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include "cart.hpp"

TEST_CASE("one apple costs forty", "[cart]") { CHECK(total("apple", 1) == 40); }
TEST_CASE("quantities", "[cart]") {
    SECTION("two") { CHECK(total("bread", 2) == 500); }
    SECTION("three") { CHECK(total("milk", 3) == 356); }
}
TEST_CASE("a unicorn is unknown", "[cart]") { total("unicorn", 1); }
