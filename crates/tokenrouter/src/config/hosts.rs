//! Hosts that speak Chat Completions, by name: where each is, and what its own SDK reads.
//!
//! Sources: the SDKs of Groq, Together, Cerebras and Meta for addresses and variables; the hosts' own
//! documents for the others.

use std::collections::HashMap;
use tokenrouter_providers::Auth;

pub(super) struct Host {
    pub name: &'static str,
    /// None where every account has its own.
    pub base_url: Option<&'static str>,
    /// What is added to an address that the environment gives without a path, as SDKs have it.
    path: &'static str,
    /// The variable with the key, for hosts whose SDK reads one.
    pub key: Option<&'static str>,
    /// The variable with the address.
    pub address: Option<&'static str>,
    pub auth: Auth,
}

const fn host(
    name: &'static str,
    base_url: &'static str,
    path: &'static str,
    key: &'static str,
    address: &'static str,
) -> Host {
    Host { name, base_url: Some(base_url), path, key: Some(key), address: Some(address), auth: Auth::Bearer }
}

pub(super) const HOSTS: [Host; 9] = [
    host("groq", "https://api.groq.com/openai/v1", "/openai/v1", "GROQ_API_KEY", "GROQ_BASE_URL"),
    host("together", "https://api.together.ai/v1", "/v1", "TOGETHER_API_KEY", "TOGETHER_BASE_URL"),
    host("openrouter", "https://openrouter.ai/api/v1", "/api/v1", "OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"),
    host("xai", "https://api.x.ai/v1", "/v1", "XAI_API_KEY", "XAI_BASE_URL"),
    host("cerebras", "https://api.cerebras.ai/v1", "/v1", "CEREBRAS_API_KEY", "CEREBRAS_BASE_URL"),
    host("moonshot", "https://api.moonshot.ai/v1", "/v1", "MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    host("llama", "https://api.llama.com/compat/v1", "/compat/v1", "LLAMA_API_KEY", "LLAMA_BASE_URL"),
    Host {
        name: "azure",
        base_url: None,
        path: "/openai/v1",
        key: Some("AZURE_OPENAI_API_KEY"),
        address: Some("AZURE_OPENAI_ENDPOINT"),
        auth: Auth::ApiKey,
    },
    // Wants no key, so it is not there unless the settings name it.
    Host {
        name: "ollama",
        base_url: Some("http://127.0.0.1:11434/v1"),
        path: "/v1",
        key: None,
        address: None,
        auth: Auth::Bearer,
    },
];

pub(super) fn by_name(name: &str) -> Option<&'static Host> {
    HOSTS.iter().find(|host| host.name == name)
}

fn variable<'a>(environment: &'a HashMap<String, String>, name: Option<&str>) -> Option<&'a str> {
    environment.get(name?).map(|value| value.trim()).filter(|value| !value.is_empty())
}

impl Host {
    /// The key that the environment has for this host.
    pub(super) fn key_in<'a>(&self, environment: &'a HashMap<String, String>) -> Option<&'a str> {
        variable(environment, self.key)
    }

    /// The environment's address for this host, or the one that everybody knows.
    pub(super) fn address_in(&self, environment: &HashMap<String, String>) -> Option<String> {
        let Some(given) = variable(environment, self.address) else { return self.base_url.map(str::to_owned) };
        let given = given.trim_end_matches('/');
        let has_path = given.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        Some(if has_path { given.to_owned() } else { format!("{given}{}", self.path) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_hosts_own() {
        let azure = by_name("azure").unwrap();
        for (given, wanted) in [
            ("https://mine.openai.azure.com/", "https://mine.openai.azure.com/openai/v1"),
            ("https://mine.openai.azure.com/openai/v1/", "https://mine.openai.azure.com/openai/v1"),
        ] {
            let environment = HashMap::from([("AZURE_OPENAI_ENDPOINT".to_owned(), given.to_owned())]);
            assert_eq!(azure.address_in(&environment).as_deref(), Some(wanted));
        }
        assert_eq!(azure.address_in(&HashMap::new()), None);
        let groq = by_name("groq").unwrap();
        assert_eq!(groq.address_in(&HashMap::new()).as_deref(), Some("https://api.groq.com/openai/v1"));
    }

    #[test]
    fn every_host_has_a_name_of_its_own_and_an_address_over_tls_if_it_is_not_this_machine() {
        for host in &HOSTS {
            assert_eq!(HOSTS.iter().filter(|other| other.name == host.name).count(), 1);
            assert!(host.base_url.is_none_or(|url| url.starts_with("https://") || url.contains("127.0.0.1")));
            assert!(tokenrouter_providers::Kind::parse(host.name).is_err(), "{} is a kind", host.name);
        }
    }
}
