//! Providers, from the environment that their own SDKs read and from `[[providers]]`.

use super::Mistake;
use super::hosts::{self, HOSTS, Host};
use super::layers::Entry;
use super::secrets;
use secrecy::SecretString;
use std::collections::HashMap;
use tokenrouter_gateway::ProviderOptions;
use tokenrouter_providers::{Auth, Kind};
use tokenrouter_routing::ModelInfo;
use tokenrouter_upstream::Endpoint;

/// The providers whose own SDKs read a key from the environment, and what the names begin with.
/// Google's SDK reads two, and prefers `GOOGLE_API_KEY`.
const FROM_ENVIRONMENT: [(&[&str], Kind); 5] = [
    (&["OPENAI"], Kind::OpenAi),
    (&["ANTHROPIC"], Kind::Anthropic),
    (&["GOOGLE", "GEMINI"], Kind::Gemini),
    (&["MISTRAL"], Kind::Mistral),
    (&["DEEPSEEK"], Kind::DeepSeek),
];

pub(super) fn from_environment(
    environment: &HashMap<String, String>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<ProviderOptions> {
    let mut found = Vec::new();
    for (prefixes, kind) in FROM_ENVIRONMENT {
        let given = |name: String| environment.get(&name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let Some(key) = prefixes.iter().find_map(|prefix| given(format!("{prefix}_API_KEY"))) else { continue };
        let prefix = kind.env_prefix().unwrap_or_default();
        let Some(base_url) = given(format!("{prefix}_BASE_URL")).or(kind.default_base_url()) else { continue };
        let provider = ProviderOptions {
            name: kind.as_str().to_owned(),
            kind,
            base_url: base_url.to_owned(),
            key: Some(SecretString::from(key)),
            auth: kind.auth(),
            models: Vec::new(),
            simulated: false,
        };
        check_address(&provider, &format!("{prefix}_BASE_URL"), mistakes);
        found.push(provider);
    }
    for host in &HOSTS {
        let (Some(key), Some(base_url)) = (host.key_in(environment), host.address_in(environment)) else { continue };
        let provider = ProviderOptions {
            name: host.name.to_owned(),
            kind: Kind::OpenAiCompatible,
            base_url,
            key: Some(SecretString::from(key)),
            auth: host.auth,
            models: Vec::new(),
            simulated: false,
        };
        check_address(&provider, host.address.unwrap_or(host.name), mistakes);
        found.push(provider);
    }
    found
}

/// Providers that are not set up, but would be by a workspace's own key: they are known by name, and so is their
/// address.
pub(super) fn known(
    environment: &HashMap<String, String>,
    configured: &[ProviderOptions],
    mistakes: &mut Vec<Mistake>,
) -> Vec<ProviderOptions> {
    let given = |name: String| environment.get(&name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let makers = FROM_ENVIRONMENT.into_iter().filter_map(|(_, kind)| {
        let place = format!("{}_BASE_URL", kind.env_prefix()?);
        let base_url = given(place.clone()).or(kind.default_base_url())?.to_owned();
        Some((place, kind.as_str(), kind, kind.auth(), base_url))
    });
    // One without a key of its own is this machine's, which is not for a workspace to reach.
    let hosts = HOSTS.iter().filter(|host| host.key.is_some()).filter_map(|host| {
        let place = host.address.unwrap_or(host.name).to_owned();
        Some((place, host.name, Kind::OpenAiCompatible, host.auth, host.address_in(environment)?))
    });
    let mut found = Vec::new();
    for (place, name, kind, auth, base_url) in makers.chain(hosts) {
        if configured.iter().any(|provider| provider.name == name) {
            continue;
        }
        let (name, models) = (name.to_owned(), Vec::new());
        let provider = ProviderOptions { name, kind, base_url, key: None, auth, models, simulated: false };
        check_address(&provider, &place, mistakes);
        found.push(provider);
    }
    found
}

fn check_address(provider: &ProviderOptions, place: &str, mistakes: &mut Vec<Mistake>) {
    if let Err(error) = Endpoint::with_auth(provider.kind, provider.auth, &provider.base_url, provider.key.as_ref()) {
        mistakes.push(Mistake { place: place.to_owned(), message: error.to_string() });
    }
}

/// Reads the `[[providers]]` entries.
pub(super) fn providers(
    entries: &[Entry],
    environment: &HashMap<String, String>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<ProviderOptions> {
    let mut found: Vec<ProviderOptions> = Vec::new();
    for entry in entries {
        let mut reader = Reader { entry, environment, mistakes };
        if let Some(provider) = reader.provider() {
            if found.iter().any(|known| known.name == provider.name) {
                reader.mistake(format!("there are two providers named `{}`", provider.name));
                continue;
            }
            found.push(provider);
        }
    }
    found
}

fn can_be_a_name(name: &str) -> bool {
    !name.is_empty() && name != "auto" && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

struct Reader<'a> {
    entry: &'a Entry,
    environment: &'a HashMap<String, String>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, message: String) {
        self.mistakes.push(Mistake { place: self.entry.place.clone(), message });
    }

    fn string(&mut self, key: &str) -> Option<String> {
        match self.entry.table.get(key)? {
            toml::Value::String(text) => Some(text.clone()),
            _ => {
                self.mistake(format!("`{key}` of a provider must be a string"));
                None
            }
        }
    }

    fn provider(&mut self) -> Option<ProviderOptions> {
        for key in self.entry.table.keys() {
            if !["name", "kind", "base_url", "api_key", "auth", "models"].contains(&key.as_str()) {
                self.mistake(format!("there is no setting `{key}` of a provider"));
            }
        }
        let name = self.string("name");
        let kind_name = self.string("kind");
        // A host that is known by its name is of the one kind, at the one address.
        let host = name.as_deref().and_then(hosts::by_name);
        let host = host.filter(|_| kind_name.as_deref().is_none_or(|kind| kind == Kind::OpenAiCompatible.as_str()));
        let kind_name = kind_name.or_else(|| match host {
            Some(_) => Some(Kind::OpenAiCompatible.as_str().to_owned()),
            None => name.clone(),
        });
        let kind = match kind_name.as_deref().map(Kind::parse) {
            Some(Ok(kind)) => Some(kind),
            Some(Err(error)) => {
                self.mistake(error.to_string());
                None
            }
            None => None,
        };
        match name.as_deref() {
            None if self.entry.table.contains_key("name") => {}
            None => self.mistake("a provider must have a `name`".to_owned()),
            Some(name) if !can_be_a_name(name) => {
                self.mistake(format!("`{name}` cannot name a provider: letters, digits, `-`, `_` and `.` only"));
            }
            Some(_) => {}
        }
        let given_url = self.string("base_url");
        let key = match self.string("api_key") {
            Some(source) => self.key(&source),
            // The environment's key for a host goes to no other address than the environment's.
            None if given_url.is_none() => host.and_then(|host| host.key_in(self.environment)).map(SecretString::from),
            None => None,
        };
        let known_url = || host.and_then(|host| host.address_in(self.environment));
        let own_url = kind.and_then(|kind| kind.default_base_url()).map(str::to_owned);
        let base_url = given_url.or_else(known_url).or(own_url);
        // Of a kind that is none, nobody knows whether it has an address of its own.
        if base_url.is_none() && kind.is_some() && !self.entry.table.contains_key("base_url") {
            let which = name.as_deref().map_or_else(|| "this provider".to_owned(), |name| format!("provider `{name}`"));
            self.mistake(format!("{which} must have a `base_url`"));
        }
        // What cannot be known of a provider that is wrong anyway does not keep the rest from being looked at.
        let shape = kind.unwrap_or(Kind::OpenAiCompatible);
        let auth = self.auth(shape, host);
        let models = self.models(name.as_deref().unwrap_or_default());
        if let Some(base_url) = &base_url
            && let Err(error) = Endpoint::with_auth(shape, auth, base_url, key.as_ref())
        {
            self.mistake(error.to_string());
        }
        Some(ProviderOptions { name: name?, kind: kind?, base_url: base_url?, key, auth, models, simulated: false })
    }

    fn auth(&mut self, kind: Kind, host: Option<&Host>) -> Auth {
        let default = host.map_or(kind.auth(), |host| host.auth);
        match self.string("auth").as_deref() {
            None => default,
            Some("bearer") => Auth::Bearer,
            Some("api-key") => Auth::ApiKey,
            Some(other) => {
                self.mistake(format!("`auth` of a provider must be bearer or api-key, not `{other}`"));
                default
            }
        }
    }

    fn key(&mut self, source: &str) -> Option<SecretString> {
        match secrets::read("api_key", source, self.environment) {
            Ok(key) => Some(key),
            Err(message) => {
                self.mistake(message);
                None
            }
        }
    }

    fn models(&mut self, provider: &str) -> Vec<ModelInfo> {
        let Some(models) = self.entry.table.get("models") else { return Vec::new() };
        let Some(models) = models.as_array() else {
            self.mistake("`models` of a provider must be an array".to_owned());
            return Vec::new();
        };
        let mut found = Vec::new();
        for model in models {
            match model {
                toml::Value::String(id) if !id.is_empty() => found.push(ModelInfo::custom(provider, id)),
                toml::Value::Table(table) => found.extend(self.model(provider, table)),
                _ => self.mistake("a model must be a name, or a table with an `id`".to_owned()),
            }
        }
        found
    }

    fn model(&mut self, provider: &str, table: &toml::Table) -> Option<ModelInfo> {
        let Some(id) = table.get("id").and_then(toml::Value::as_str).filter(|id| !id.is_empty()) else {
            self.mistake("a model must have an `id`".to_owned());
            return None;
        };
        let mut model = ModelInfo::custom(provider, id);
        for (key, value) in table {
            let count = value.as_integer().and_then(|n| u64::try_from(n).ok());
            let flag = value.as_bool();
            let taken = match key.as_str() {
                "id" => Some(()),
                "context_window" => count.map(|n| model.context_window = n),
                "max_output_tokens" => count.map(|n| model.max_output_tokens = n),
                "tools" => flag.map(|b| model.capabilities.tools = b),
                "images" => flag.map(|b| model.capabilities.images = b),
                "files" => flag.map(|b| model.capabilities.files = b),
                "json_schema" => flag.map(|b| model.capabilities.json_schema = b),
                "reasoning" => flag.map(|b| model.capabilities.reasoning = b),
                _ => {
                    self.mistake(format!("there is no setting `{key}` of a model"));
                    Some(())
                }
            };
            if taken.is_none() {
                self.mistake(format!("`{key}` of the model `{id}` is of the wrong type"));
            }
        }
        Some(model)
    }
}
