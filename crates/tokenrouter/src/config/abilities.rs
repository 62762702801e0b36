//! `[[abilities]]`: how able models are, where the operator knows better than the catalog.

use super::Mistake;
use super::layers::Entry;
use tokenrouter_gateway::AbilityOptions;
use tokenrouter_routing::{AllowedModels, Task};

pub(super) fn abilities(entries: &[Entry], mistakes: &mut Vec<Mistake>) -> Vec<AbilityOptions> {
    entries.iter().filter_map(|entry| ability(entry, mistakes)).collect()
}

fn ability(entry: &Entry, mistakes: &mut Vec<Mistake>) -> Option<AbilityOptions> {
    let mut mistake = |message: String| mistakes.push(Mistake { place: entry.place.clone(), message });
    for key in entry.table.keys().filter(|key| !["model", "task", "ability"].contains(&key.as_str())) {
        mistake(format!("there is no setting `{key}` of an ability"));
    }
    let model = entry.table.get("model").and_then(toml::Value::as_str).filter(|model| !model.is_empty());
    if model.is_none() {
        mistake("an ability must have a `model`, as \"gpt-4o\" or \"openai/gpt-4o*\"".to_owned());
    }
    let task = match entry.table.get("task") {
        None => Some(None),
        Some(name) => match Task::ALL.into_iter().find(|task| name.as_str() == Some(task.as_str())) {
            Some(task) => Some(Some(task)),
            None => {
                let known: Vec<&str> = Task::ALL.into_iter().map(Task::as_str).collect();
                mistake(format!("`task` of an ability must be one of {}", known.join(", ")));
                None
            }
        },
    };
    let number = entry.table.get("ability").and_then(|n| n.as_float().or_else(|| n.as_integer().map(f64_of)));
    let Some(ability) = number.filter(|ability| (0.0..=1.0).contains(ability)) else {
        mistake("`ability` must be a number from 0 to 1".to_owned());
        return None;
    };
    #[allow(clippy::cast_possible_truncation)]
    Some(AbilityOptions { models: AllowedModels::new(&[model?.to_owned()]), task: task?, ability: ability as f32 })
}

#[allow(clippy::cast_precision_loss)]
fn f64_of(n: i64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { table: text.parse().unwrap(), place: "my.toml:1".to_owned() }
    }

    #[test]
    fn an_ability_is_read_and_each_mistake_of_one_is_told() {
        let mut mistakes = Vec::new();
        let read = abilities(
            &[entry("model = \"gpt-4o*\"\ntask = \"coding\"\nability = 0.6"), entry("model = \"x\"\nability = 1")],
            &mut mistakes,
        );
        assert!(mistakes.is_empty());
        assert_eq!(read.iter().map(|set| set.task).collect::<Vec<_>>(), [Some(Task::Coding), None]);
        let wrong = "model = \"\"\ntask = \"cooking\"\nability = 7\ncolour = 1";
        assert!(abilities(&[entry(wrong)], &mut mistakes).is_empty());
        assert_eq!(mistakes.len(), 4);
    }
}
