//! The shop's cart for Rust.

/// The price of an article in cents.
pub fn price(article: &str) -> Option<u32> {
    match article {
        "apple" => Some(40),
        "bread" => Some(250),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::price;

    #[test]
    fn an_apple_costs_forty() {
        assert_eq!(price("apple"), Some(40));
    }

    #[test]
    fn a_loaf_costs_too_much() {
        println!("weighing the loaf");
        assert_eq!(price("bread"), Some(251), "the price of a loaf");
    }

    #[test]
    #[should_panic]
    fn a_unicorn_has_no_price() {
        price("unicorn").unwrap();
    }

    #[test]
    #[ignore = "vouchers are not for sale yet"]
    fn vouchers() {}
}
