//! The gateway's own forecast, which learned nothing from any outcomes: the difficulty that it sees in a prompt, against
//! abilities that are set so that it expects of each model the mean score that it had where was learned from.

use crate::outcomes::Outcomes;
use tokenrouter_routing::{Prompt, TaskInput, forecast, quality, recognise};

pub(crate) struct Gateway {
    /// One for each row.
    difficulties: Vec<f32>,
    /// One for each model of the pool.
    abilities: Vec<f32>,
}

/// As far as prompts can be told apart by halving; abilities beyond these bounds make no difference.
const HALVINGS: usize = 30;
const BOUNDS: (f32, f32) = (-1.0, 2.0);

impl Gateway {
    pub fn new(outcomes: &Outcomes, train: &[usize], pool: &[usize]) -> Self {
        let difficulties: Vec<f32> = outcomes.rows.iter().map(|row| difficulty(&row.prompt)).collect();
        let ability = |model: &usize| {
            let known = train.iter().filter_map(|row| Some((*row, outcomes.rows[*row].outcomes[*model]?.score)));
            let (rows, scores): (Vec<usize>, Vec<f32>) = known.unzip();
            let count = rows.len().max(1) as f32;
            let wanted = scores.iter().sum::<f32>() / count;
            let (mut low, mut high) = BOUNDS;
            for _ in 0..HALVINGS {
                let middle = f32::midpoint(low, high);
                let expected = rows.iter().map(|row| quality(middle, difficulties[*row])).sum::<f32>() / count;
                if expected < wanted { low = middle } else { high = middle }
            }
            low
        };
        let abilities = pool.iter().map(ability).collect();
        Self { difficulties, abilities }
    }

    /// Of each model of the pool, how likely it is to answer this row's prompt well.
    pub fn predict(&self, row: usize) -> Vec<f32> {
        self.abilities.iter().map(|ability| quality(*ability, self.difficulties[row])).collect()
    }
}

fn difficulty(prompt: &str) -> f32 {
    let task = recognise(&TaskInput { last_user: prompt, ..TaskInput::default() }).task;
    let input_tokens = prompt.len() as u64 / 4;
    forecast(&Prompt { last_user: prompt, turns: 1, input_tokens, ..Prompt::default() }, task).difficulty
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let gateway = Gateway::new(&outcomes, &rows, &[0]);
        let expected = rows.iter().map(|row| gateway.predict(*row)[0]).sum::<f32>() / 300.0;
        assert!((expected - 2.0 / 3.0).abs() < 1e-3, "{expected}");
        assert!(gateway.predict(0)[0] > gateway.predict(2)[0] + 0.2);
    }
}
