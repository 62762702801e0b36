//! Secrets, from where the settings point. **What stands where a pointer should may be the secret itself: it is
//! never repeated.**

use secrecy::SecretString;
use std::collections::{BTreeMap, HashMap};
use tokenrouter_gateway::MasterKey;

/// What `env:NAME` or `file:PATH` points to; `setting` is what the pointer is called in messages.
pub(crate) fn read(setting: &str, source: &str, environment: &HashMap<String, String>) -> Result<SecretString, String> {
    let found = if let Some(name) = source.strip_prefix("env:") {
        environment.get(name).cloned().ok_or_else(|| format!("the environment has no `{name}`"))
    } else if let Some(path) = source.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("the key file `{path}` cannot be read: {error}"))
    } else {
        Err(format!("`{setting}` must be \"env:NAME\" or \"file:PATH\", never the key itself"))
    }?;
    match found.trim() {
        "" => Err(format!("the key that `{setting}` points to is empty")),
        key => Ok(SecretString::from(key)),
    }
}

/// `1=env:NAME, 2=file:PATH`: master keys by version.
pub(super) fn master_keys(
    text: &str,
    environment: &HashMap<String, String>,
) -> Result<BTreeMap<u32, MasterKey>, String> {
    let mut keys = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let form = "`vault.master_keys` must be a list such as \"1=env:NAME, 2=file:PATH\", never the keys themselves";
        let (version, source) = entry.split_once('=').ok_or(form)?;
        let version = version.trim().parse::<u32>().ok().filter(|version| *version > 0).ok_or(form)?;
        let secret = read("vault.master_keys", source.trim(), environment)?;
        let key = MasterKey::parse(&secret).map_err(|error| format!("master key {version}: {error}"))?;
        if keys.insert(version, key).is_some() {
            return Err(format!("`vault.master_keys` has two keys of version {version}"));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn master_keys_are_read_by_version_and_mistakes_do_not_repeat_them() {
        let key = "5a".repeat(32);
        let environment = HashMap::from([("A".to_owned(), key.clone()), ("SHORT".to_owned(), "5a5a".to_owned())]);
        let versions = |text: &str| master_keys(text, &environment).map(|keys| keys.into_keys().collect::<Vec<_>>());
        assert_eq!(versions(""), Ok(vec![]));
        assert_eq!(versions("2=env:A, 1=env:A"), Ok(vec![1, 2]));
        for wrong in [
            &key,
            "0=env:A",
            "x=env:A",
            "1=env:A,1=env:A",
            "1=env:NONE",
            "1=env:SHORT",
            "1=file:/none",
            &format!("1={key}"),
        ] {
            let message = versions(wrong).unwrap_err();
            assert!(!message.contains("5a5a"), "{message}");
        }
    }
}
