//! What the caller calls the fields of a request that came over another surface than Responses.
//!
//! Errors and warnings name a field by its place in the internal form; the caller must read the name
//! that it wrote: `messages[2].content`, not `input[3].content`.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    /// Where each item of `input` stood in the caller's request.
    pub items: Vec<String>,
    /// Other fields: our name, and the caller's.
    pub fields: Vec<(String, String)>,
}

impl FieldNames {
    /// The caller's name of `param`, which may be the place of something inside a field.
    #[must_use]
    pub fn of(&self, param: &str) -> String {
        if let Some((item, rest)) = self.item(param) {
            return format!("{item}{}", self.renamed(rest).unwrap_or_else(|| rest.to_owned()));
        }
        self.renamed(param).unwrap_or_else(|| param.to_owned())
    }

    fn item<'a>(&self, param: &'a str) -> Option<(&str, &'a str)> {
        let (index, rest) = param.strip_prefix("input[")?.split_once(']')?;
        Some((self.items.get(index.parse::<usize>().ok()?)?, rest))
    }

    fn renamed(&self, param: &str) -> Option<String> {
        self.fields.iter().find_map(|(ours, theirs)| {
            let rest = param.strip_prefix(ours.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{theirs}{rest}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_called_what_the_caller_called_it() {
        let names = FieldNames {
            items: vec!["messages[0]".to_owned(), "messages[1].tool_calls[0]".to_owned(), "messages[2]".to_owned()],
            fields: [("text.format", "response_format"), ("input", "messages"), (".output", ".content")]
                .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
                .to_vec(),
        };
        let cases = [
            ("input[0].content[1].file_id", "messages[0].content[1].file_id"),
            ("input[1]", "messages[1].tool_calls[0]"),
            ("input[2].output[0]", "messages[2].content[0]"),
            ("input", "messages"),
            ("input_tokens", "input_tokens"),
            ("text.format.schema", "response_format.schema"),
            ("temperature", "temperature"),
        ];
        for (ours, theirs) in cases {
            assert_eq!(names.of(ours), theirs);
        }
        assert_eq!(FieldNames::default().of("input[0]"), "input[0]");
    }
}
