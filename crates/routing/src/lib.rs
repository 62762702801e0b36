//! Choosing: the workspace's routing rules, and the model for a request.
//!
//! Pure: values in, values out. It knows no HTTP, no database, no clock; what was observed of
//! latencies is told to it.

mod allowed;
mod catalog;
mod forecast;
mod mode;
mod model_spec;
mod predictor;
mod rules;
mod select;
mod task;

pub use allowed::AllowedModels;
pub use catalog::{
    Capabilities, Catalog, LatencyPrior, LongPrompt, ModelInfo, Price, QualityByTask, Source, TokenUsage,
};
pub use forecast::{Effort, Forecast, Prompt, forecast};
pub use mode::{Mode, Weights};
pub use model_spec::{ModelRequest, ModelSpecError, parse_model};
pub use predictor::{
    LearnedModel, MOST_GROUPS, Predicted, Predictor, PredictorError, PredictorWeights, PromptFeatures, SKILLS,
    feature_rows, near_row, near_rows,
};
pub use rules::{
    Action, Facts, FieldError, Matcher, Plan, RoutingRules, RuleSpec, RuleWarning, Set, validate_action, validate_match,
};
pub use select::{
    Candidate, Decision, Filter, Filtered, LastTurn, LatencyTracker, LatencyView, Learned, Moved, Needs, Observed,
    Pool, Request, Said, Scores, SelectError, Stay, Target, quality, quality_moved, select,
};
pub use task::{Features, Task, TaskGuess, TaskInput, Trained, features, recognise};

/// Makes the tables that tasks are recognised and prompts are forecast by, some milliseconds' work that the first
/// request would wait for.
pub fn warm_up() {
    let said = "Hello";
    let guess = recognise(&TaskInput { last_user: said, ..TaskInput::default() });
    let _ = forecast(&Prompt { last_user: said, trained: guess.trained, ..Prompt::default() }, guess.task);
}
