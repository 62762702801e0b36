//! Feedback on responses.

use tokenrouter_store::{FeedbackRow, FeedbackSum};

use crate::TestStore;

fn said(response_id: &str, model: &str, score: f64, created_at_ms: i64) -> FeedbackRow {
    FeedbackRow {
        response_id: response_id.into(),
        provider: "openai".into(),
        model: model.into(),
        task: "qa".into(),
        score,
        forecast: 0.5,
        comment: Some("'; DROP TABLE feedback; --".into()),
        created_at_ms,
    }
}

#[tokio::test]
async fn what_is_said_anew_takes_the_place_of_the_old_and_outlives_a_restart() {
    let store = TestStore::open().await;
    let id = store.workspace().await.workspace_id;
    store.put_feedback(id, said("resp_1", "gpt-4o", 1.0, 1)).await.unwrap();
    store.put_feedback(id, said("resp_1", "gpt-4o", 0.0, 2)).await.unwrap();
    let store = store.reopen().await;
    assert_eq!(store.get_feedback(id, "resp_1").await.unwrap(), Some(said("resp_1", "gpt-4o", 0.0, 2)));
    assert_eq!(store.get_feedback(id, "resp_2").await.unwrap(), None);
}

#[tokio::test]
async fn sums_are_of_one_workspace_by_model_and_task() {
    let store = TestStore::open().await;
    let (one, other) = (store.workspace().await.workspace_id, store.workspace().await.workspace_id);
    for (workspace, id, model, score) in
        [(one, "resp_1", "a", 1.0), (one, "resp_2", "a", 1.0), (one, "resp_3", "b", 0.0), (other, "resp_1", "a", 0.0)]
    {
        store.put_feedback(workspace, said(id, model, score, 1)).await.unwrap();
    }
    let sum = |workspace_id, model: &str, count, above_forecast| FeedbackSum {
        workspace_id,
        provider: "openai".into(),
        model: model.into(),
        task: "qa".into(),
        count,
        above_forecast,
    };
    let own = [sum(one, "a", 2, 1.0), sum(one, "b", 1, -0.5)];
    assert_eq!(store.feedback_sums(Some(one)).await.unwrap(), own);
    let all = store.feedback_sums(None).await.unwrap();
    assert_eq!(all, [&own[..], &[sum(other, "a", 1, -0.5)]].concat());
    assert_eq!(store.list_feedback(other, 10).await.unwrap(), [said("resp_1", "a", 0.0, 1)]);
}
