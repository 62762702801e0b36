//! What the task of a request is recognised by: the last user turn and the one before, from the store too, the
//! instructions wherever they stand, and what the answer is to look like.

use std::borrow::Cow;
use tokenrouter_protocol::{Item, Part, Request, Role, TextFormat};
use tokenrouter_routing::{self as routing, TaskGuess, TaskInput};

pub(super) fn recognise(request: &Request) -> TaskGuess {
    let mut turns = request.input.iter().rev().filter_map(of_role(&[Role::User]));
    let last = turns.next().unwrap_or_default();
    let (last_user, before) = (text(last).unwrap_or_default(), turns.next().and_then(text).unwrap_or_default());
    let instructions = match request.instructions.as_deref() {
        Some(instructions) if !instructions.is_empty() => Cow::Borrowed(instructions),
        _ => {
            request.input.iter().find_map(of_role(&[Role::System, Role::Developer])).and_then(text).unwrap_or_default()
        }
    };
    routing::recognise(&TaskInput {
        last_user: &last_user,
        instructions: &instructions,
        before: &before,
        has_schema: !matches!(request.text.format, TextFormat::Text),
        has_images: last.iter().any(|part| matches!(part, Part::Image { .. })),
        has_files: last.iter().any(|part| matches!(part, Part::File { .. })),
    })
}

fn of_role(roles: &'static [Role]) -> impl Fn(&Item) -> Option<&[Part]> {
    move |item| match item {
        Item::Message(message) if roles.contains(&message.role) => Some(message.content.as_slice()),
        _ => None,
    }
}

/// The texts of a message as one. None where it has none.
pub(super) fn text(parts: &[Part]) -> Option<Cow<'_, str>> {
    let mut texts = parts.iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let first = texts.next()?;
    Some(texts.fold(Cow::Borrowed(first), |joined, text| Cow::Owned(format!("{joined}\n{text}"))))
}
