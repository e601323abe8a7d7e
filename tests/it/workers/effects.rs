//! One effect a command: a zombie cannot take effect after ERROR, and a lost finish cannot undo a success.

use painel_shared::{
    command::{Command, CommandError, Holder, Verdict},
    commands,
    db::Session,
    ids::LeaseOwner,
};
use painel_tests::stack::{Stack, with_stack};
use painel_workers::{
    effects::{self, Record, Success},
    handler::{Attempt, ResultMap},
};
use serde_json::json;

fn error() -> CommandError {
    CommandError { code: "lease_lost".to_owned(), message: "for a test".to_owned(), retryable: true }
}

fn result(n: u32) -> ResultMap {
    json!({"n": n}).as_object().cloned().unwrap()
}

async fn command(stack: &Stack) -> Command {
    stack.send::<commands::HealthCheck>(None, json!({})).await
}

fn attempt(command: &Command, fence: u64) -> Attempt {
    Attempt { stored: command.clone(), holder: Holder { fence, owner: LeaseOwner::fresh() } }
}

/// Records a success under that fence: what it returned, or the code of its error.
async fn make(stack: &Stack, command: &Command, fence: u64, n: u32) -> Result<ResultMap, String> {
    let made = effects::record(&stack.stores.db, &attempt(command, fence), result(n)).await;
    made.map(|success| success.result().clone()).map_err(|error| error.to_stored().code)
}

#[test]
fn whoever_comes_second_returns_what_the_first_recorded() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        assert_eq!(make(stack, &command, 1, 1).await, Ok(result(1)));
        assert_eq!(make(stack, &command, 2, 2).await, Ok(result(1)));
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
    });
}

#[test]
fn of_two_at_once_one_makes_the_effect() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        let (a, b) = tokio::join!(make(stack, &command, 1, 1), make(stack, &command, 2, 2));
        assert_eq!(a, b);
    });
}

#[test]
fn an_effect_whose_statement_fails_has_not_happened() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        let fails = async |mut session: Session, record: Record| {
            let statement = "SELECT standing FROM record_success($1, $2, $3, $4)
                WHERE 1 / (CASE WHEN taken THEN 0 ELSE 1 END) = 1";
            let standing = sqlx::query_scalar(statement)
                .bind(record.command)
                .bind(record.fence)
                .bind(record.result)
                .bind(record.event)
                .fetch_optional(&mut *session)
                .await;
            session.done(standing)
        };
        let failed = effects::make(&stack.stores.db, &attempt(&command, 1), result(1), fails).await.unwrap_err();
        assert_eq!(failed.to_stored().code, "database_refused");
        assert_eq!(stack.events(&command, "command.succeeded").await, 0);
        assert_eq!(make(stack, &command, 1, 2).await, Ok(result(2)));
    });
}

#[test]
fn a_result_over_what_a_command_holds_is_refused_before_anything_is_done() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        let huge = json!({"text": "x".repeat(16 * 1024)}).as_object().cloned().unwrap();
        let refused = effects::record(&stack.stores.db, &attempt(&command, 1), huge.clone()).await;
        let refused = refused.unwrap_err().to_stored();
        assert_eq!((refused.code.as_str(), refused.retryable), ("result_too_large", false));
        assert!(Success::owing_event(huge).is_err());
        assert_eq!(make(stack, &command, 1, 2).await, Ok(result(2)), "nothing of it stands");
    });
}

#[test]
fn an_event_says_what_came_of_the_command() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        make(stack, &command, 3, 7).await.unwrap();
        let details: serde_json::Value = sqlx::query_scalar(
            "SELECT details FROM operational_events WHERE resource_id = $1 AND event_type = 'command.succeeded'",
        )
        .bind(command.id().to_string())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(details, json!({"attempt": 0, "fence": 3, "result": {"n": 7}}));
    });
}

#[test]
fn a_zombie_finds_the_tombstone() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        let buried = effects::bury(&stack.stores.db.service(), command.id(), 3, error(), true).await.unwrap();
        assert_eq!(buried, Verdict::Error { error: error(), dead_letter: true });
        for stale in [1, 2, 3] {
            assert_eq!(make(stack, &command, stale, 1).await, Err("fenced_off".to_owned()));
        }
        // Reprocessed, it has a higher fence.
        assert_eq!(make(stack, &command, 5, 5).await, Ok(result(5)));
    });
}

#[test]
fn a_success_is_not_buried() {
    with_stack(|stack| async move {
        let command = command(stack).await;
        make(stack, &command, 1, 1).await.unwrap();
        let verdict = effects::bury(&stack.stores.db.service(), command.id(), 2, error(), true).await.unwrap();
        assert_eq!(verdict, Verdict::Success(result(1)));
        assert_eq!(stack.events(&command, "command.failed").await, 0);
    });
}

#[test]
fn the_audit_log_is_append_only() {
    with_stack(|stack| async move {
        command(stack).await;
        for statement in [
            "UPDATE operational_events SET status = 'x'",
            "DELETE FROM operational_events",
            "TRUNCATE operational_events",
        ] {
            let error = sqlx::raw_sql(statement).execute(&stack.stores.db.service()).await.unwrap_err();
            assert!(error.to_string().contains("append only"), "{error}");
        }
    });
}
