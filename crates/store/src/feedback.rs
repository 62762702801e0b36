//! What people say of answers.

/// What was said of one response.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackRow {
    pub response_id: String,
    pub provider: String,
    /// The catalog's id of the model.
    pub model: String,
    pub task: String,
    /// 0 to 1.
    pub score: f64,
    /// The quality that was forecast for the answer, 0 to 1.
    pub forecast: f64,
    pub comment: Option<String>,
    pub created_at_ms: i64,
}

/// All that a workspace said of a model's answers at a task.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedbackSum {
    pub workspace_id: i64,
    pub provider: String,
    pub model: String,
    pub task: String,
    pub count: u64,
    /// Of the scores less what was forecast.
    pub above_forecast: f64,
}
