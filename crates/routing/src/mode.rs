//! What a request cares for most.

#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Balance,
    Cost,
    Quality,
    Latency,
}

/// How much each score counts; they sum to 1 (contract §3).
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Weights {
    pub cost: f32,
    pub quality: f32,
    pub latency: f32,
}

impl Mode {
    pub const NAMES: &'static str = "balance, cost, quality, latency";

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Cost => "cost",
            Self::Quality => "quality",
            Self::Latency => "latency",
        }
    }

    /// By name or alias, whatever the case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "balance" | "balanced" => Some(Self::Balance),
            "cost" => Some(Self::Cost),
            "quality" => Some(Self::Quality),
            "latency" | "fast" => Some(Self::Latency),
            _ => None,
        }
    }

    #[must_use]
    pub fn weights(self) -> Weights {
        let (cost, quality, latency) = match self {
            Self::Balance => (0.4, 0.4, 0.2),
            Self::Cost => (0.8, 0.1, 0.1),
            Self::Quality => (0.1, 0.8, 0.1),
            Self::Latency => (0.1, 0.1, 0.8),
        };
        Weights { cost, quality, latency }
    }
}
