//! What a request cares for most.

/// The four modes (contract §3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Balance,
    Cost,
    Quality,
    Latency,
}

/// How much each score counts; they sum to 1.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Weights {
    pub cost: f32,
    pub quality: f32,
    pub latency: f32,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Balance, Self::Cost, Self::Quality, Self::Latency];

    /// For messages.
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

    /// By name or alias (`balanced`, `fast`), whatever the case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let alias = [("balanced", Self::Balance), ("fast", Self::Latency)];
        let names = Self::ALL.into_iter().map(|mode| (mode.as_str(), mode)).chain(alias);
        names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, mode)| mode)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_a_name_an_alias_and_weights_that_sum_to_one() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
            let weights = mode.weights();
            assert!((weights.cost + weights.quality + weights.latency - 1.0).abs() < 1e-6);
        }
        assert_eq!(Mode::parse("Balanced"), Some(Mode::Balance));
        assert_eq!(Mode::parse("FAST"), Some(Mode::Latency));
        assert_eq!(Mode::parse("cheapest"), None);
        assert_eq!(Mode::parse(""), None);
    }
}
