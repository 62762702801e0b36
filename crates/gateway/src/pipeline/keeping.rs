//! Between the stages 8 and 9: holds an answer that is complete against the schemas that its provider does not
//! hold it to, as the caller gave them.
//!
//! What breaks one is told in a warning, since the answer may be of use all the same; to a caller that wants
//! nothing lost it is an error, in a stream at its end. So it is told when the answer's tokens come without the
//! probabilities that were asked for. What is looked at is the answer as the firewall left it: where a rule has masked
//! something, the provider is not blamed for what the mask may have broken.

use super::record::Record;
use super::told::{Source, Warning};
use crate::error::{ApiError, ApiResult, Code};
use tokenrouter_firewall::{Action, RuleSet, Scope};
use tokenrouter_protocol::{Item, Part, Request};

pub(super) fn check(record: &mut Record, output: &[Item]) -> ApiResult<()> {
    let masked = record.tally.iter().any(|hit| hit.scope == Scope::Response && hit.action == Action::Mask);
    for finding in record.checks.findings(output) {
        let because =
            if finding.broken && masked { " (a firewall rule has masked something in the answer)" } else { "" };
        let message = format!("`{}`: {}{because}", record.names.of(finding.param), finding.message);
        if finding.broken && record.strict && !masked {
            let provider = Some(record.told.provider.clone());
            // No 5xx: clients would ask, and pay, for it again by themselves.
            return Err(ApiError { provider, ..ApiError::new(Code::SchemaNotKept, message) });
        }
        record.told.warnings.push(Warning::new(Source::Translation, None, message));
    }
    if record.wants_logprobs && output.iter().any(has_text_without_logprobs) {
        let message = format!("`{}`: the provider did not tell how probable its tokens were", record.names.of(INCLUDE));
        record.told.warnings.push(Warning::new(Source::Translation, None, message));
    }
    Ok(())
}

const INCLUDE: &str = "include";

fn has_text_without_logprobs(item: &Item) -> bool {
    let Item::Message(message) = item else { return false };
    message.content.iter().any(|part| match part {
        Part::Text { text, extra, .. } => !text.is_empty() && !extra.contains_key("logprobs"),
        _ => false,
    })
}

/// How probable the tokens were is told to nobody whose answers rules may change: the tokens hold what the rules take
/// out.
pub(super) fn logprobs_or_rules(record: &mut Record, rules: &RuleSet, request: &Request) -> ApiResult<()> {
    if !record.wants_logprobs || !rules.guards(Scope::Response) {
        return Ok(());
    }
    record.wants_logprobs = false;
    let message = "firewall rules screen the answer: how probable its tokens were is left out";
    let name = request.names.of(INCLUDE);
    if record.strict {
        return Err(ApiError::parameter(name, message));
    }
    record.told.warnings.push(Warning::new(Source::Firewall, None, format!("`{name}`: {message}")));
    Ok(())
}
