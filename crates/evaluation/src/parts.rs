//! What is learned from and what is measured on.

use crate::outcomes::Outcomes;
use crate::report::{Options, OptionsError};

pub(crate) struct Parts {
    /// The rows that are learned from.
    pub train: Vec<usize>,
    /// The rows that are measured on: those that every model of the pool answered.
    pub rows: Vec<usize>,
    /// How many were to be measured on and are not.
    pub left_out: usize,
    /// The models that answered nine in ten of what is kept apart.
    pub pool: Vec<usize>,
}

impl Parts {
    pub fn of(outcomes: &Outcomes, options: &Options) -> Result<Self, OptionsError> {
        let (train, test) = split(outcomes, options)?;
        let answered = |model: usize| test.iter().filter(|row| outcomes.rows[**row].outcomes[model].is_some()).count();
        let pool: Vec<usize> =
            (0..outcomes.models.len()).filter(|model| answered(*model) * 10 >= test.len() * 9).collect();
        if pool.len() < 2 {
            return Err(OptionsError::OneModel);
        }
        let whole = |row: &usize| pool.iter().all(|model| outcomes.rows[*row].outcomes[*model].is_some());
        let rows: Vec<usize> = test.iter().copied().filter(whole).collect();
        if rows.is_empty() {
            return Err(OptionsError::Nothing { what: "measure on" });
        }
        Ok(Self { left_out: test.len() - rows.len(), train, rows, pool })
    }
}

fn split(outcomes: &Outcomes, options: &Options) -> Result<(Vec<usize>, Vec<usize>), OptionsError> {
    let (mut train, test): (Vec<usize>, Vec<usize>) = match &options.leave_out {
        None => outcomes.split(options.held_out, options.seed),
        Some(name) => {
            let group = outcomes
                .groups
                .iter()
                .position(|group| group == name)
                .ok_or_else(|| OptionsError::NoGroup { name: name.clone(), known: outcomes.groups.join(", ") })?;
            (0..outcomes.rows.len()).partition(|row| outcomes.rows[*row].group != group)
        }
    };
    outcomes.drop_asked(&mut train, &test);
    if train.is_empty() {
        return Err(OptionsError::Nothing { what: "learn from" });
    }
    if test.is_empty() {
        return Err(OptionsError::Nothing { what: "measure on" });
    }
    Ok((train, test))
}
