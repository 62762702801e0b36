//! The whole measurement on outcomes that are made up so that what must come out is known.

use super::*;

/// A dear model that can do anything; a cheap one that cannot prove, and one between that cannot add up. Every fourth
/// prompt is not to be told from others.
fn outcomes(rows: usize, group: &str) -> String {
    (0..rows)
        .map(|i| {
            let (words, middle, cheap) = match i % 4 {
                0 => ("prove that the graph of", 1, 0),
                1 => ("add up the numbers of", 0, 1),
                2 => ("say something about", usize::from(i % 8 == 2), usize::from(i % 16 < 8)),
                _ => ("name the colour of", 1, 1),
            };
            format!(
                "{{\"prompt\": \"{words} {} and {}\", \"group\": \"{group}\", \"models\": {{\
                 \"dear\": {{\"score\": 1, \"cost\": 0.01}}, \"middle\": {{\"score\": {middle}, \"cost\": 0.004}}, \
                 \"cheap\": {{\"score\": {cheap}, \"cost\": 0.001}}}}}}\n",
                i % 31,
                i % 23
            )
        })
        .collect()
}

fn options() -> Options {
    Options { resamples: 100, ..Options::default() }
}

#[test]
fn a_router_that_can_tell_prompts_apart_is_above_every_mixture() {
    let read = Outcomes::read(&outcomes(1_200, "")).unwrap();
    let pair = Some(("dear".to_owned(), "cheap".to_owned()));
    let report = evaluate(&read, &Options { pair, ..options() }).unwrap();
    assert_eq!((report.learned_from, report.measured_on, report.left_out), (840, 360, 0));
    assert_eq!(report.best_single.model, "dear");
    assert!(report.aiq_gain.low > 0.05, "{:?}", report.aiq_gain);
    assert!(report.aiq_oracle >= report.aiq_router.value && report.aiq_mixture.value > report.aiq_chance);
    assert!((report.aiq_gain.value - (report.aiq_router.value - report.aiq_mixture.value)).abs() < 1e-12);
    assert!(report.aiq_gain.low <= report.aiq_gain.value && report.aiq_gain.value <= report.aiq_gain.high);
    let saved: Vec<f64> = report.savings.iter().map(|s| s.router.map_or(0.0, |i| i.value)).collect();
    assert!(saved.is_sorted() && saved[2] > 0.3, "{saved:?}");
    let pair = report.pair.unwrap();
    assert!(pair.seen_apgr.unwrap().low > 0.6 && pair.unseen.is_some());
}

#[test]
fn of_two_models_that_score_the_same_the_cheaper_is_the_best() {
    let models = "{\"a\": {\"score\": 1, \"cost\": 1}, \"b\": {\"score\": 1, \"cost\": 3}, \"c\": {\"score\": 0, \"cost\": 0.5}}";
    let text: String = (0..100).map(|i| format!("{{\"prompt\": \"add {i}\", \"models\": {models}}}\n")).collect();
    let report = evaluate(&Outcomes::read(&text).unwrap(), &options()).unwrap();
    assert_eq!(report.best_single.model, "a");
}

#[test]
fn a_resample_chooses_no_settings_by_its_own_luck() {
    // Five models by lot, at costs of their own: no setting is better than a mixture but by luck.
    let mut random = Random::new(7);
    let mut had = |cost: f64| -> Vec<Outcome> {
        (0..200).map(|_| Outcome { cost, score: if random.below(2) == 0 { 0.0 } else { 1.0 } }).collect()
    };
    let single: Vec<Vec<Outcome>> = (1..=5).map(|cost| had(f64::from(cost))).collect();
    let router: Vec<Vec<Outcome>> = (0..60).map(|i| had(1.0 + f64::from(i) / 15.0)).collect();
    let measured = Measured { forecast: router.clone(), oracle: single.clone(), router, single };
    let once = vec![1.0; 200];
    let corners = measured.corners(&once);
    let whole = measured.figures(&corners, &once);
    let resampled = resamples(200, &options());
    let mean = resampled.iter().map(|times| measured.figures(&corners, times)).map(|f| f.aiq(&f.router)).sum::<f64>()
        / resampled.len() as f64;
    assert!((mean - whole.aiq(&whole.router)).abs() < 0.01, "{mean} of {}", whole.aiq(&whole.router));
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_one_another() {
    let read = Outcomes::read(&outcomes(400, "")).unwrap();
    let told = |seed| serde_json::to_string(&evaluate(&read, &Options { seed, ..options() }).unwrap()).unwrap();
    assert_eq!(told(1), told(1));
    assert_ne!(told(1), told(2));
}

#[test]
fn a_group_that_is_like_nothing_else_gets_the_plain_abilities() {
    let strange = |i: usize| {
        format!(
            "{{\"prompt\": \"übersetze {i} bitte wörtlich\", \"group\": \"strange\", \"models\": {{\
             \"dear\": {{\"score\": 1, \"cost\": 0.01}}, \"middle\": {{\"score\": 1, \"cost\": 0.004}}, \
             \"cheap\": {{\"score\": 0, \"cost\": 0.001}}}}}}\n"
        )
    };
    let text = outcomes(600, "known") + &(0..50).map(strange).collect::<String>();
    let read = Outcomes::read(&text).unwrap();
    let report = evaluate(&read, &Options { leave_out: Some("strange".to_owned()), ..options() }).unwrap();
    assert_eq!((report.learned_from, report.measured_on), (600, 50));
    assert!(report.likeness < 0.05, "{}", report.likeness);
    // One model for all of them at each price: no more points than there are models.
    assert!(report.router.points().len() <= 3);
}

#[test]
fn what_is_asked_for_and_is_not_there_is_told() {
    let read = Outcomes::read(&outcomes(100, "known")).unwrap();
    let error = |options: Options| evaluate(&read, &options).unwrap_err().to_string();
    let pair = Some(("dear".to_owned(), "none".to_owned()));
    assert_eq!(error(Options { pair, ..options() }), "there is no model `none`; there are cheap, dear, middle");
    let leave_out = Some("none".to_owned());
    assert_eq!(error(Options { leave_out, ..options() }), "there is no group `none`; there are known");
    let leave_out = Some("known".to_owned());
    assert_eq!(error(Options { leave_out, ..options() }), "there is nothing to learn from");
    let one =
        Outcomes::read("{\"prompt\": \"a\", \"models\": {\"x\": {\"score\": 1, \"cost\": 1}}}\n".repeat(9).as_str());
    let error = evaluate(&one.unwrap(), &options()).unwrap_err();
    assert!(matches!(error, OptionsError::OneModel | OptionsError::Nothing { .. }), "{error}");
}

#[test]
fn a_plot_has_every_model_and_curve_and_escapes_names() {
    let read = Outcomes::read(&outcomes(200, "").replace("\"cheap\"", "\"a<b\"")).unwrap();
    let drawn = crate::svg(&evaluate(&read, &options()).unwrap());
    for part in ["dear", "middle", "a&lt;b", "router", "best mixture", "oracle", "polyline"] {
        assert!(drawn.contains(part), "{part}");
    }
    assert!(!drawn.contains("a<b") && !drawn.contains("NaN"));
}
