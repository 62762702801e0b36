//! Which models a key may use.

use crate::ModelInfo;

/// Patterns of models, of which one must match; without any, every model is allowed. `*` stands for any
/// characters. A pattern with a slash is `provider/model`, one without is a model at any provider; a
/// model goes by each of its names. Case does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedModels(Vec<String>);

impl AllowedModels {
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().map(|pattern| pattern.to_lowercase()).collect())
    }

    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn allows(&self, provider: &str, model: &ModelInfo) -> bool {
        self.is_everything()
            || model
                .aliases
                .iter()
                .chain([&model.id])
                .chain(&model.shared_name)
                .any(|name| self.allows_name(provider, name))
    }

    /// For a model that is known by one name only.
    #[must_use]
    pub fn allows_name(&self, provider: &str, name: &str) -> bool {
        let name = name.to_lowercase();
        let full = format!("{}/{name}", provider.to_lowercase());
        self.is_everything()
            || self.0.iter().any(|pattern| {
                // A name may have a slash of its own, which must not pass for a provider's.
                let text = if pattern.contains('/') { &full } else { &name };
                matches(pattern.as_bytes(), text.as_bytes())
            })
    }
}

/// Without going back further than the last `*`: steps are bounded by the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_model_anywhere_or_at_one_provider() {
        for (pattern, provider, name, allowed) in [
            ("gpt-4o", "openai", "gpt-4o", true),
            ("GPT-4o", "azure", "gpt-4O", true),
            ("gpt-4o", "openai", "gpt-4o-mini", false),
            ("gpt-4o*", "openai", "gpt-4o-mini", true),
            ("*mini*", "openai", "gpt-4o-mini-2024", true),
            ("openai/*", "openai", "o3", true),
            ("openai/*", "groq", "openai/gpt-oss-120b", false),
            ("groq/openai/*", "groq", "openai/gpt-oss-120b", true),
            ("openai/gpt-*-mini", "openai", "gpt-4.1-mini", true),
            ("openai/gpt-*-mini", "openai", "gpt-4.1-nano", false),
            ("*", "groq", "openai/gpt-oss-120b", true),
            ("", "openai", "o3", false),
        ] {
            let allows = AllowedModels::new(&[pattern.to_owned()]).allows_name(provider, name);
            assert_eq!(allows, allowed, "{pattern} {provider}/{name}");
        }
        assert!(AllowedModels::default().allows_name("openai", "o3"));
    }

    #[test]
    fn a_model_goes_by_each_of_its_names() {
        let model =
            ModelInfo { aliases: vec!["gpt-4o-2024-08-06".to_owned()], ..ModelInfo::custom("openai", "gpt-4o") };
        assert!(AllowedModels::new(&["gpt-4o-2024-08-06".to_owned()]).allows("openai", &model));
        assert!(!AllowedModels::new(&["gpt-4.1".to_owned()]).allows("openai", &model));
    }
}
