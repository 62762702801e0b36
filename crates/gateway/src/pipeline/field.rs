//! Which of the targets are in the field, and which are ejected for how they have answered of late.
//!
//! **Health alone never leaves a request without a provider.** A provider that has said no (to the key, or
//! for want of money) is out as a whole, unless there is no other; of what remains, which is ejected on
//! suspicion, none is where it would be more than half.

use crate::accounts::Accounts;
use std::time::Instant;
use tokenrouter_routing::{Moved, Stay, Target};
use tokenrouter_upstream::{Ejection, Health, too_many};

pub(super) struct Field<'a> {
    targets: &'a [Target],
    /// One for each target.
    ejections: Vec<Option<Ejection>>,
}

impl<'a> Field<'a> {
    pub fn of(health: &Health, accounts: &Accounts, targets: &'a [Target], now: Instant) -> Self {
        let names = targets.iter().map(|target| (&*target.provider, &*target.name));
        let mut ejections = accounts.ejections(health, names, now);
        spare(&mut ejections);
        Self { targets, ejections }
    }

    /// Why the target at this place of the order is ejected, if it is.
    pub fn ejection(&self, place: usize) -> Option<Ejection> {
        self.ejections.get(place).copied().flatten()
    }

    /// Those that may be asked, best first, each with its place in the order.
    pub fn standing(&self) -> impl Iterator<Item = (usize, &'a Target)> {
        self.targets.iter().enumerate().filter(|(place, _)| self.ejection(*place).is_none())
    }

    pub fn first(&self) -> Option<&'a Target> {
        self.standing().next().map(|(_, target)| target)
    }

    /// What is told of a conversation that does not go on where it was.
    pub fn moved(&self, stay: &Stay) -> Option<String> {
        let reason = match self.targets.iter().position(|target| stay.is_at(target)) {
            None => Moved::Gone,
            Some(place) if self.ejection(place).is_some() => Moved::Ejected,
            Some(_) => Moved::Outscored,
        };
        stay.moved(self.first()?, reason)
    }

    /// Those that may not, better first.
    pub fn ejected(&self) -> impl Iterator<Item = (usize, &'a Target, Ejection)> {
        let ejected = |(place, target)| Some((place, target, self.ejection(place)?));
        self.targets.iter().enumerate().filter_map(ejected)
    }
}

/// Takes back what would leave too few.
pub(super) fn spare(ejections: &mut [Option<Ejection>]) {
    let is_certain = |ejection: &Option<Ejection>| ejection.is_some_and(|e| e.reason.concerns_provider());
    let certain = ejections.iter().filter(|ejection| is_certain(ejection)).count();
    if certain == ejections.len() {
        return ejections.fill(None);
    }
    let suspected = ejections.iter().flatten().count() - certain;
    if too_many(suspected, ejections.len() - certain) {
        ejections.iter_mut().filter(|ejection| !is_certain(ejection)).for_each(|ejection| *ejection = None);
    }
}

#[cfg(test)]
mod tests {
    use super::spare;
    use std::time::Duration;
    use tokenrouter_upstream::{Ejection, Reason};

    /// `o` for open, `k` for a refused key, `.` for none; before and after.
    fn check(before: &str, after: &str) {
        let of = |sign| match sign {
            'o' => Some(Reason::CircuitOpen),
            'k' => Some(Reason::KeyRefused),
            _ => None,
        };
        let ejection = |reason| Ejection { reason, retry_in: Duration::from_secs(1) };
        let mut ejections: Vec<_> = before.chars().map(|sign| of(sign).map(ejection)).collect();
        spare(&mut ejections);
        let reasons: Vec<_> = ejections.iter().map(|ejection| ejection.map(|e| e.reason)).collect();
        assert_eq!(reasons, after.chars().map(of).collect::<Vec<_>>(), "{before}");
    }

    #[test]
    fn health_alone_never_leaves_nobody() {
        check("", "");
        check("o", ".");
        check("k", ".");
        check("kkk", "...");
        check("kko", "kk.");
    }

    #[test]
    fn more_than_half_are_not_ejected_on_suspicion() {
        check("o.", "o.");
        check("oo.", "...");
        check("oo..", "oo..");
        check("kkkoo..", "kkkoo..");
        check("kkkoo.", "kkk...");
    }

    #[test]
    fn a_provider_that_said_no_is_out_however_many_models_it_has() {
        check("kkkk.", "kkkk.");
    }
}
