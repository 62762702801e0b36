//! The gateway's own forecast: the difficulty that it sees in a prompt, against abilities that are set so that it expects
//! of each model the mean score that it had where was learned from, at each task that the gateway recognises. So an
//! operator would set `[[abilities]]` after such a measurement.

use crate::sight::Sight;
use tokenrouter_routing::{Prompt, Task, TaskGuess, TaskInput, forecast, quality, recognise};

pub(crate) struct Gateway {
    /// Of each model of the pool.
    pub abilities: Vec<Abilities>,
}

/// As a table of abilities has them.
pub(crate) struct Abilities {
    pub overall: f32,
    by_task: [f32; Task::ALL.len()],
}

impl Abilities {
    pub fn at(&self, task: Task) -> f32 {
        self.by_task[task as usize]
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub task: Task,
    pub difficulty: f32,
}

/// As far as prompts can be told apart by halving; abilities beyond these bounds make no difference.
const HALVINGS: usize = 30;
const BOUNDS: (f32, f32) = (0.0, 1.0);
/// So many prompts of a task count as much for the ability at it as all others do. A choice.
const HALF_AT: f32 = 60.0;

impl Gateway {
    pub fn new(sight: &Sight<'_>, train: &[usize], pool: &[usize]) -> Self {
        let abilities = pool
            .iter()
            .map(|model| {
                let known = train
                    .iter()
                    .filter_map(|row| Some((sight.seen[*row], sight.outcomes.rows[*row].outcomes[*model]?.score)));
                let known: Vec<(Seen, f32)> = known.collect();
                let overall = ability(&known);
                let by_task = Task::ALL.map(|task| {
                    let at_task: Vec<(Seen, f32)> = known.iter().copied().filter(|row| row.0.task == task).collect();
                    let count = at_task.len() as f32;
                    overall + count / (count + HALF_AT) * (ability(&at_task) - overall)
                });
                Abilities { overall, by_task }
            })
            .collect();
        Self { abilities }
    }

    /// Of each model of the pool, how likely it is to answer such a prompt well.
    pub fn predict(&self, Seen { task, difficulty }: Seen) -> Vec<f32> {
        self.abilities.iter().map(|abilities| quality(abilities.at(task), difficulty)).collect()
    }
}

/// At which the forecast expects the mean of these scores.
fn ability(known: &[(Seen, f32)]) -> f32 {
    let count = known.len().max(1) as f32;
    let wanted = known.iter().map(|(_, score)| score).sum::<f32>() / count;
    let (mut low, mut high) = BOUNDS;
    for _ in 0..HALVINGS {
        let middle = f32::midpoint(low, high);
        let expected = known.iter().map(|(seen, _)| quality(middle, seen.difficulty)).sum::<f32>() / count;
        if expected < wanted { low = middle } else { high = middle }
    }
    low
}

/// As the gateway sees a request that is this prompt and nothing else.
pub(crate) fn see(prompt: &str) -> Seen {
    let TaskGuess { task, trained, .. } = recognise(&TaskInput { last_user: prompt, ..TaskInput::default() });
    let input_tokens = prompt.len() as u64 / 4;
    let prompt = Prompt { last_user: prompt, turns: 1, input_tokens, trained, ..Prompt::default() };
    Seen { task, difficulty: forecast(&prompt, task).difficulty }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::Outcomes;

    #[test]
    fn a_model_is_expected_to_score_what_it_scored_and_less_on_what_is_harder() {
        let prompts = [
            "hi",
            "What is 2 + 2?",
            "Prove the theorem rigorously, and derive its converse. You must not skip a step.",
        ];
        let text: String = (0..300)
            .map(|i| {
                let score = if i % 3 == 2 { 0.0 } else { 1.0 };
                let prompt = prompts[i % 3];
                format!("{{\"prompt\": \"{prompt}\", \"models\": {{\"m\": {{\"score\": {score}, \"cost\": 1}}}}}}\n")
            })
            .collect();
        let outcomes = Outcomes::read(&text).unwrap();
        let rows: Vec<usize> = (0..300).collect();
        let sight = Sight::of(&outcomes);
        let gateway = Gateway::new(&sight, &rows, &[0]);
        let expected = rows.iter().map(|row| gateway.predict(sight.seen[*row])[0]).sum::<f32>() / 300.0;
        assert!((expected - 2.0 / 3.0).abs() < 5e-3, "{expected}");
        assert!(gateway.predict(sight.seen[0])[0] > gateway.predict(sight.seen[2])[0] + 0.2);
    }
}
