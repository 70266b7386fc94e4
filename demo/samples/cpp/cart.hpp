// The shop's cart for C++. SHOP_REVISION=2 stands for a later commit.
#pragma once
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

inline bool later() {
    const char* revision = std::getenv("SHOP_REVISION");
    return revision && std::string(revision) == "2";
}

inline const std::map<std::string, int> prices{{"apple", 40}, {"bread", 250}, {"milk", 119}};

inline int total(const std::string& article, int quantity) {
    const auto found = prices.find(article);
    if (found == prices.end()) throw std::out_of_range("unknown article: " + article);
    return found->second * quantity - (later() && quantity > 99 ? 1 : 0);  // the new defect of revision 2
}
