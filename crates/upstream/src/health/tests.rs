use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn health(now: Instant) -> Arc<Health> {
    let breaker = BreakerOptions { window: seconds(10), min_requests: 5, failure_percent: 50, open: seconds(5) };
    let budget = BudgetOptions { percent: 20, floor: 10, total_floor: 100 };
    Arc::new(Health::new(HealthOptions { breaker, budget, refused: seconds(60) }, now))
}

fn ejected(health: &Health, provider: &str, model: &str, now: Instant) -> Option<Ejection> {
    health.ejections([(provider, model)].into_iter(), now).remove(0)
}

fn fail(health: &Arc<Health>, model: &str, failure: &Failure, now: Instant) {
    health.ask("openai", model, now).failed(failure, now);
}

fn reason(health: &Arc<Health>, model: &str, now: Instant) -> Option<Reason> {
    ejected(health, "openai", model, now).map(|ejection| ejection.reason)
}

#[test]
fn a_target_that_fails_is_ejected_and_its_provider_is_not() {
    let now = Instant::now();
    let health = health(now);
    for _ in 0..5 {
        health.ask("openai", "a", now).failed(&Failure::new(Class::Transient, "x"), now);
    }
    assert_eq!(reason(&health, "a", now), Some(Reason::CircuitOpen));
    assert_eq!(reason(&health, "b", now), None);
    let later = now + seconds(5);
    assert_eq!(reason(&health, "a", later), None);
    let probe = health.ask("openai", "a", later);
    assert_eq!(reason(&health, "a", later), Some(Reason::CircuitOpen));
    probe.succeeded(later);
    assert_eq!(reason(&health, "a", later), None);
}

#[test]
fn a_probe_whose_caller_left_is_given_back() {
    let now = Instant::now();
    let health = health(now);
    for _ in 0..5 {
        fail(&health, "a", &Failure::new(Class::Timeout, "x"), now);
    }
    drop(health.ask("openai", "a", now + seconds(5)));
    assert_eq!(reason(&health, "a", now + seconds(5)), None);
}

#[test]
fn a_refused_key_concerns_every_model_of_the_provider_for_a_while() {
    let now = Instant::now();
    let health = health(now);
    fail(&health, "a", &Failure::new(Class::Auth, "x"), now);
    assert_eq!(reason(&health, "b", now), Some(Reason::KeyRefused));
    assert!(ejected(&health, "mistral", "a", now).is_none());
    assert_eq!(reason(&health, "b", now + seconds(60)), None);
    fail(&health, "a", &Failure::new(Class::Spent, "x"), now);
    assert_eq!(reason(&health, "b", now), Some(Reason::QuotaUsedUp));
    health.ask("openai", "b", now).succeeded(now);
    assert_eq!(reason(&health, "a", now), None);
}

#[test]
fn an_answer_clears_what_was_known_when_it_was_asked_for_and_nothing_newer() {
    let now = Instant::now();
    let limited = Failure { retry_after: Some(seconds(30)), ..Failure::new(Class::Quota, "x") };
    for (failure, wanted) in [
        (Failure::new(Class::Auth, "x"), Reason::KeyRefused),
        (Failure::new(Class::Spent, "x"), Reason::QuotaUsedUp),
        (limited, Reason::RateLimited),
    ] {
        let health = health(now);
        let before = health.ask("openai", "a", now);
        fail(&health, "a", &failure, now + seconds(1));
        let after = health.ask("openai", "a", now + seconds(2));
        before.succeeded(now + seconds(3));
        assert_eq!(reason(&health, "a", now + seconds(3)), Some(wanted));
        after.succeeded(now + seconds(3));
        assert_eq!(reason(&health, "a", now + seconds(3)), None);
    }
}

#[test]
fn a_stream_that_began_clears_a_refusal_and_leaves_the_breaker_to_its_end() {
    let now = Instant::now();
    let health = health(now);
    (0..5).for_each(|_| fail(&health, "a", &Failure::new(Class::Transient, "x"), now));
    fail(&health, "a", &Failure::new(Class::Spent, "x"), now);
    let later = now + seconds(5);
    let mut probe = health.ask("openai", "a", later);
    probe.began(later);
    assert_eq!(reason(&health, "a", later), Some(Reason::CircuitOpen));
    probe.succeeded(later);
    assert_eq!(reason(&health, "a", later), None);
}

#[test]
fn streams_that_break_off_eject_their_target() {
    let now = Instant::now();
    let health = health(now);
    let streams: Vec<Asked> = (0..5).map(|_| health.ask("openai", "a", now)).collect();
    for mut stream in streams {
        assert_eq!(reason(&health, "a", now), None);
        stream.began(now);
        stream.failed(&Failure::new(Class::Transient, "x"), now);
    }
    assert_eq!(reason(&health, "a", now), Some(Reason::CircuitOpen));
}

#[test]
fn a_model_that_the_key_may_not_use_does_not_eject_the_others() {
    let now = Instant::now();
    let health = health(now);
    let mut forbidden = Failure::new(Class::Auth, "permission_error");
    forbidden.error.status = 403;
    fail(&health, "a", &forbidden, now);
    assert_eq!(reason(&health, "a", now), Some(Reason::KeyRefused));
    assert_eq!(reason(&health, "b", now), None);
}

#[test]
fn a_retry_after_parks_its_target_until_then() {
    let now = Instant::now();
    let health = health(now);
    let limited = Failure { retry_after: Some(seconds(7)), ..Failure::new(Class::Quota, "x") };
    fail(&health, "a", &limited, now);
    let wanted = Ejection { reason: Reason::RateLimited, retry_in: seconds(3) };
    assert_eq!(ejected(&health, "openai", "a", now + seconds(4)), Some(wanted));
    assert_eq!(reason(&health, "b", now), None);
    assert_eq!(reason(&health, "a", now + seconds(7)), None);
}

#[test]
fn what_the_caller_did_wrong_ejects_nobody() {
    let now = Instant::now();
    let health = health(now);
    for class in [Class::Caller, Class::Policy, Class::ModelMissing] {
        for _ in 0..100 {
            fail(&health, "a", &Failure::new(class, "x"), now);
        }
        assert_eq!(reason(&health, "a", now), None, "{class:?}");
    }
}

#[test]
fn more_than_half_is_too_many() {
    assert!(too_many(1, 1) && too_many(2, 3) && too_many(3, 4));
    assert!(!too_many(0, 1) && !too_many(1, 2) && !too_many(1, 3) && !too_many(2, 4));
}

#[test]
fn names_that_one_key_is_asked_for_take_no_place_of_another_ones() {
    let now = Instant::now();
    let health = health(now);
    let eject = |scope: &str, model: &str, now| {
        for _ in 0..5 {
            health.ask(scope, model, now).failed(&Failure::new(Class::Transient, "x"), now);
        }
        ejected(&health, scope, model, now).is_some()
    };
    for n in 0..MOST_MODELS {
        assert!(eject("openai#1", &n.to_string(), now));
    }
    assert!(!eject("openai#1", "one more", now), "nothing is learnt of what there is no room for");
    assert!(eject("openai#2", "m", now) && eject("openai", "m", now));
}

#[test]
fn what_nobody_asks_for_any_more_makes_room() {
    let now = Instant::now();
    let health = health(now);
    for n in 0..MOST_MODELS {
        health.ask("openai", n.to_string(), now).succeeded(now);
    }
    let later = now + seconds(20);
    for _ in 0..5 {
        fail(&health, "m", &Failure::new(Class::Transient, "x"), later);
    }
    assert_eq!(reason(&health, "m", later), Some(Reason::CircuitOpen));
    assert_eq!(health.inner().targets["openai"].len(), 1);
}

#[test]
fn keys_that_are_gone_are_forgotten() {
    let now = Instant::now();
    let health = health(now);
    for scope in ["openai#1", "openai#2"] {
        health.ask(scope, "m", now).succeeded(now);
        health.ask(scope, "m", now).failed(&Failure::new(Class::Spent, "x"), now);
    }
    health.keep(|scope| scope == "openai#2");
    assert!(ejected(&health, "openai#1", "m", now).is_none() && ejected(&health, "openai#2", "m", now).is_some());
    let inner = health.inner();
    assert_eq!((inner.targets.len(), inner.providers.len()), (1, 1));
}
