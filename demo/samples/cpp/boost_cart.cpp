#define BOOST_TEST_MODULE cart
#include <boost/test/included/unit_test.hpp>

#include "cart.hpp"

BOOST_AUTO_TEST_SUITE(totals)
BOOST_AUTO_TEST_CASE(one_apple) { BOOST_TEST(total("apple", 1) == 40); }
BOOST_AUTO_TEST_CASE(three_bottles) { BOOST_TEST(total("milk", 3) == 356); }
BOOST_AUTO_TEST_CASE(unicorn) { total("unicorn", 1); }
BOOST_AUTO_TEST_CASE(voucher, *boost::unit_test::disabled()) {}
BOOST_AUTO_TEST_SUITE_END()
