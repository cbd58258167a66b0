//! What the shop sells.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A row of the database, and what the cache holds, in an `Arc`: hits clone it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) price: Price,
}

/// What the body of a `PUT` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: String,
    price: Price,
}

impl Change {
    /// The product of this id, as it is to be.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub(crate) fn of(self, id: u32) -> Result<Product, String> {
        let Self { name, price } = self;
        if name.trim().is_empty() || name.len() > LONGEST_NAME {
            return Err(format!("a name has 1 to {LONGEST_NAME} bytes"));
        }
        Ok(Product { id, name, price })
    }
}

/// An amount of money, kept in cents. Beyond the database it is a number with at most two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Price(u32);

impl Price {
    pub(crate) const fn from_cents(cents: u32) -> Self {
        Self(cents)
    }

    pub(crate) const fn cents(self) -> u32 {
        self.0
    }
}

impl TryFrom<f64> for Price {
    type Error = WrongPrice;

    fn try_from(price: f64) -> Result<Self, WrongPrice> {
        let cents = (price * 100.0).round();
        let whole = (price * 100.0 - cents).abs() < 1e-6;
        if whole && (0.0..=f64::from(u32::MAX)).contains(&cents) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number within the bounds that were just checked"
            )]
            return Ok(Self(cents as u32));
        }
        Err(WrongPrice)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Who wrote 5 reads 5, and not 5.0.
        if self.0.is_multiple_of(100) {
            serializer.serialize_u32(self.0 / 100)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

/// A number that is no price.
#[derive(Debug)]
pub(crate) struct WrongPrice;

impl fmt::Display for WrongPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = u32::MAX / 100;
        write!(
            f,
            "a price is a number from 0 to {most}, with at most two decimals"
        )
    }
}

const LONGEST_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_the_same_after_a_way_through_json() {
        for text in ["0", "5", "9.5", "19.99", "0.01", "42949672.95"] {
            let price: Price = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&price).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in ["-1", "0.001", "1e300", "42949672.96", "\"7\"", "null"] {
            assert!(serde_json::from_str::<Price>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_product_has_a_name() {
        let change = |name: &str| Change {
            name: name.into(),
            price: Price(1),
        };
        assert!(change("Lamp").of(1).is_ok());
        assert!(change("  ").of(1).is_err());
        assert!(change(&"x".repeat(201)).of(1).is_err());
    }
}
