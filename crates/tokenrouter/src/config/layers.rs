//! The layers of settings, each value with the place it came from.
//!
//! The default file is also the list of what there is: a section or key that it lacks is a mistake.

use super::Mistake;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const DEFAULTS: &str = include_str!("../../../../tokenrouter.default.toml");

#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Text(String),
    Integer(i64),
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Setting {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
        }
    }
}

type Values = BTreeMap<(String, String), (Setting, String)>;

#[derive(Clone, Debug)]
pub struct Layers {
    values: Values,
}

/// What the user's file has lists of.
#[derive(Default)]
pub struct Lists {
    pub providers: Vec<Entry>,
    pub abilities: Vec<Entry>,
}

/// A `[[providers]]` or `[[abilities]]` entry of the user's file, with what is needed to name its place.
pub struct Entry {
    pub table: toml::Table,
    pub place: String,
}

impl Layers {
    /// What the compiled-in file says. It is tested to be valid.
    #[must_use]
    pub fn defaults() -> Self {
        let mut values = Values::new();
        let table: toml::Table = DEFAULTS.parse().unwrap_or_default();
        for (section, entries) in table {
            for (key, value) in entries.as_table().cloned().unwrap_or_default() {
                let setting = match value {
                    toml::Value::String(text) => Setting::Text(text),
                    toml::Value::Integer(n) => Setting::Integer(n),
                    _ => continue,
                };
                values.insert((section.clone(), key), (setting, "the defaults".to_owned()));
            }
        }
        Self { values }
    }

    #[must_use]
    pub fn string(&self, section: &str, key: &str) -> (String, String) {
        match self.get(section, key) {
            Some((Setting::Text(text), place)) => (text.clone(), place.clone()),
            Some((Setting::Integer(n), place)) => (n.to_string(), place.clone()),
            None => (String::new(), String::new()),
        }
    }

    #[must_use]
    pub fn integer(&self, section: &str, key: &str) -> (i64, String) {
        match self.get(section, key) {
            Some((Setting::Integer(n), place)) => (*n, place.clone()),
            Some((Setting::Text(_), place)) => (-1, place.clone()),
            None => (-1, String::new()),
        }
    }

    fn get(&self, section: &str, key: &str) -> Option<&(Setting, String)> {
        self.values.get(&(section.to_owned(), key.to_owned()))
    }

    pub fn set(&mut self, section: &str, key: &str, value: Setting, place: &str) {
        self.values.insert((section.to_owned(), key.to_owned()), (value, place.to_owned()));
    }

    /// Takes a file in. Gives its lists back, if it has any.
    pub fn add_file(&mut self, name: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Lists {
        let place = |span: Range<usize>| format!("{name}:{}", line(text, span.start));
        // What cannot be read does not keep the rest from being looked at.
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut unreadable: Vec<String> = Vec::new();
        for error in errors {
            let at = error.span().map_or_else(|| name.to_owned(), place);
            // The first of a line explains those that follow from it.
            if !unreadable.contains(&at) {
                mistakes.push(Mistake { place: at.clone(), message: error.message().to_owned() });
                unreadable.push(at);
            }
        }
        let document = document.into_inner();
        let mut lists = Lists::default();
        for (section, value) in document {
            let at = place(section.span());
            let section = section.into_inner().into_owned();
            let list = match section.as_str() {
                "providers" => Some(&mut lists.providers),
                "abilities" => Some(&mut lists.abilities),
                _ => None,
            };
            if let Some(list) = list {
                *list = entries(&section, value, &place, mistakes);
                continue;
            }
            if !self.values.keys().any(|(known, _)| *known == section) {
                mistakes.push(Mistake { place: at, message: format!("there is no section `{section}`") });
                continue;
            }
            let DeValue::Table(table) = value.into_inner() else {
                mistakes.push(Mistake { place: at, message: format!("`{section}` must be a section") });
                continue;
            };
            for (key, value) in table {
                let at = place(key.span());
                if unreadable.contains(&at) {
                    continue;
                }
                let setting = match value.into_inner() {
                    DeValue::String(text) => Some(Setting::Text(text.into_owned())),
                    DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(Setting::Integer),
                    _ => None,
                };
                self.add(&section, key.get_ref(), setting, &at, mistakes);
            }
        }
        lists
    }

    /// `TOKENROUTER_SECTION__KEY`.
    pub fn add_environment(&mut self, environment: &HashMap<String, String>, mistakes: &mut Vec<Mistake>) {
        let mut names: Vec<&String> = environment.keys().collect();
        names.sort();
        for name in names {
            let Some((section, key)) = name.strip_prefix("TOKENROUTER_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            let text = environment.get(name).cloned().unwrap_or_default();
            let setting = match self.get(&section, &key) {
                Some((Setting::Integer(_), _)) => text.replace('_', "").parse().ok().map(Setting::Integer),
                _ => Some(Setting::Text(text)),
            };
            self.add(&section, &key, setting, name, mistakes);
        }
    }

    fn add(&mut self, section: &str, key: &str, value: Option<Setting>, place: &str, mistakes: &mut Vec<Mistake>) {
        let Some((known, _)) = self.get(section, key) else {
            let message = format!("there is no setting `{section}.{key}`");
            mistakes.push(Mistake { place: place.to_owned(), message });
            return;
        };
        let kind = known.kind();
        match value {
            Some(value) if value.kind() == kind => self.set(section, key, value, place),
            _ => {
                let message = format!("`{section}.{key}` must be {kind}");
                mistakes.push(Mistake { place: place.to_owned(), message });
            }
        }
    }
}

fn entries(
    name: &str,
    value: Spanned<DeValue<'_>>,
    place: &dyn Fn(Range<usize>) -> String,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Entry> {
    let at = place(value.span());
    let DeValue::Array(entries) = value.into_inner() else {
        mistakes.push(Mistake { place: at, message: format!("`{name}` must be written as `[[{name}]]`") });
        return Vec::new();
    };
    entries
        .into_iter()
        .filter_map(|entry| {
            let place = place(entry.span());
            match plain(entry.into_inner()) {
                toml::Value::Table(table) => Some(Entry { table, place }),
                _ => {
                    mistakes.push(Mistake { place, message: format!("an entry of `{name}` must be a table") });
                    None
                }
            }
        })
        .collect()
}

/// A value without its places. A number that is none is kept as its text, which is of the wrong type
/// wherever a number is asked for.
fn plain(value: DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.into_owned()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => toml::Value::Integer(n),
            Err(_) => toml::Value::String(n.as_str().to_owned()),
        },
        DeValue::Float(x) => match x.as_str().parse() {
            Ok(x) => toml::Value::Float(x),
            Err(_) => toml::Value::String(x.as_str().to_owned()),
        },
        DeValue::Boolean(value) => toml::Value::Boolean(value),
        DeValue::Datetime(date) => toml::Value::Datetime(date),
        DeValue::Array(values) => {
            toml::Value::Array(values.into_iter().map(|value| plain(value.into_inner())).collect())
        }
        DeValue::Table(table) => {
            let entries =
                table.into_iter().map(|(key, value)| (key.into_inner().into_owned(), plain(value.into_inner())));
            toml::Value::Table(entries.collect())
        }
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_valid_and_has_every_kind_of_setting() {
        let layers = Layers::defaults();
        assert_eq!(layers.string("server", "listen").0, "127.0.0.1:8000");
        assert_eq!(layers.integer("server", "max_body_bytes").0, 16_777_216);
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let mut mistakes = Vec::new();
        let text = "[server]\nlisten = 5\nlissten = \"x\"\n\n[nothing]\na = 1\n";
        Layers::defaults().add_file("my.toml", text, &mut mistakes);
        let environment = [("TOKENROUTER_SERVER__MAX_BODY_BYTES".to_owned(), "many".to_owned())].into();
        Layers::defaults().add_environment(&environment, &mut mistakes);
        let mut places: Vec<_> = mistakes.iter().map(|m| m.place.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["TOKENROUTER_SERVER__MAX_BODY_BYTES", "my.toml:2", "my.toml:3", "my.toml:5"]);
    }
}
