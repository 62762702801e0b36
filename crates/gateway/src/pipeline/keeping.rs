//! Between the stages 8 and 9: holds an answer that is complete against the schemas that its provider does not
//! hold it to, as the caller gave them.
//!
//! What breaks one is told in a warning, since the answer may be of use all the same; to a caller that wants
//! nothing lost it is an error, in a stream at its end.

use super::record::Record;
use super::told::{Source, Warning};
use crate::error::{ApiError, ApiResult, Code};
use tokenrouter_protocol::Item;

pub(super) fn check(record: &mut Record, output: &[Item]) -> ApiResult<()> {
    for finding in record.checks.findings(output) {
        let message = format!("`{}`: {}", record.names.of(finding.param), finding.message);
        if finding.broken && record.strict {
            let provider = Some(record.told.provider.clone());
            return Err(ApiError { provider, ..ApiError::new(Code::UpstreamError, message) });
        }
        record.told.warnings.push(Warning::new(Source::Translation, None, message));
    }
    Ok(())
}
