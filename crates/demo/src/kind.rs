//! The services of the shop, and who of them calls whom.

use std::str::FromStr;

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What customers see: the page, and the way to an order.
    Storefront,
    /// What a customer is about to buy, and what it costs.
    Cart,
    /// Takes orders: asks the cart, then payments. What cannot be paid waits, and is said to wait.
    Checkout,
    /// Takes money.
    Payments,
    /// What there is to buy.
    Inventory,
    /// What a customer may like.
    Recommendations,
}

impl Kind {
    /// All services; who is called stands before who calls.
    pub const ALL: [Self; 6] = [
        Self::Inventory,
        Self::Recommendations,
        Self::Payments,
        Self::Cart,
        Self::Checkout,
        Self::Storefront,
    ];

    /// The service's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storefront => "storefront",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Payments => "payments",
            Self::Inventory => "inventory",
            Self::Recommendations => "recommendations",
        }
    }

    /// How many instances it has: two, so that one can be killed or replaced and the other goes on; three of
    /// the one where one is to be told from its siblings.
    pub fn instances(self) -> usize {
        match self {
            Self::Inventory => 3,
            _ => 2,
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("the shop has no service {text:?}, only {names}")
        })
    }
}
