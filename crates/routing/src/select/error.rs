//! Why nothing could be chosen.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectError {
    ModelNotFound {
        asked: String,
        closest: Vec<String>,
    },
    /// `reasons`: what some of the candidates lack.
    NoEligible {
        reasons: Vec<String>,
    },
    /// The key may use nothing of what was asked for; `None`: of all that is set up.
    NotAllowed {
        asked: Option<String>,
    },
    ProviderModelMismatch {
        provider: String,
        model: String,
    },
    ProviderUnknown {
        name: String,
        known: Vec<String>,
    },
    /// Known, but the settings have no key for it.
    ProviderNotConfigured {
        name: String,
    },
}

impl std::fmt::Display for SelectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ModelNotFound { asked, closest } => {
                write!(f, "there is no model `{asked}`")?;
                if !closest.is_empty() {
                    write!(f, "; did you mean {}?", closest.join(", "))?;
                }
                Ok(())
            }
            Self::NoEligible { reasons } => {
                write!(f, "no model can take this request")?;
                if !reasons.is_empty() {
                    write!(f, ": {}", reasons.join("; "))?;
                }
                Ok(())
            }
            Self::NotAllowed { asked: Some(model) } => write!(f, "this API key may not use the model `{model}`"),
            Self::NotAllowed { asked: None } => write!(f, "this API key may use none of the models that are set up"),
            Self::ProviderModelMismatch { provider, model } => {
                write!(f, "{provider} does not serve the model `{model}`")
            }
            Self::ProviderUnknown { name, known } => {
                write!(f, "there is no provider `{name}`")?;
                if !known.is_empty() {
                    write!(f, "; there are {}", known.join(", "))?;
                }
                Ok(())
            }
            Self::ProviderNotConfigured { name } => write!(f, "the gateway has no key for {name}"),
        }
    }
}

impl std::error::Error for SelectError {}
