//! Idempotent creation.

use futures::future::join_all;
use painel_shared::{
    command::Command,
    command_store::{Created, IdempotencyKey},
    dispatch::{DispatchError, dispatch},
    events::Origin,
    time::now,
};
use painel_tests::stack::with_stack;

use crate::pure::new_command;

#[test]
fn many_posts_at_once_make_one_command() {
    with_stack(|stack| async move {
        let key = IdempotencyKey::new("tester", "once", b"body");
        let posts = (0..12).map(|_| dispatch(&stack.stores, new_command(), Some(&key), Origin::default()));
        let outcomes = join_all(posts).await;
        let mut ids = Vec::new();
        let mut fresh = 0;
        for outcome in outcomes {
            let done = outcome.unwrap();
            fresh += u32::from(!done.replayed);
            ids.push(done.command.id());
        }
        ids.dedup();
        assert_eq!((ids.len(), fresh), (1, 1));
        let count = stack.stores.commands.count(&Default::default()).await.unwrap();
        assert_eq!(count.total, 1);
    });
}

#[test]
fn many_posts_at_once_under_one_key_stand_in_the_log_as_one_request() {
    with_stack(|stack| async move {
        let key = IdempotencyKey::new("tester", "once", b"body");
        let posts = (0..20).map(|_| dispatch(&stack.stores, new_command(), Some(&key), Origin::default()));
        let made: Vec<_> = join_all(posts).await.into_iter().map(|done| done.unwrap().command.id()).collect();
        let requested: Vec<String> =
            sqlx::query_scalar("SELECT resource_id FROM operational_events WHERE event_type = 'command.requested'")
                .fetch_all(&stack.stores.db.service())
                .await
                .unwrap();
        assert_eq!(requested, [made[0].to_string()]);
    });
}

#[test]
fn a_request_that_was_cut_short_is_completed_under_the_id_that_its_key_reserved() {
    with_stack(|stack| async move {
        let key = IdempotencyKey::new("tester", "cut short", b"body");
        let reserved = Command::accept(new_command(), now());
        stack.stores.commands.reserve(&key, reserved.key).await.unwrap();
        let done = dispatch(&stack.stores, new_command(), Some(&key), Origin::default()).await.unwrap();
        assert_eq!((done.command.key, done.replayed), (reserved.key, false));
        let again = dispatch(&stack.stores, new_command(), Some(&key), Origin::default()).await.unwrap();
        assert_eq!((again.command.key, again.replayed), (reserved.key, true));
    });
}

#[test]
fn a_key_belongs_to_its_caller_and_its_body() {
    with_stack(|stack| async move {
        let send = |key: IdempotencyKey| async move {
            dispatch(&stack.stores, new_command(), Some(&key), Origin::default()).await
        };
        let first = send(IdempotencyKey::new("ann", "k", b"body")).await.unwrap();
        let again = send(IdempotencyKey::new("ann", "k", b"body")).await.unwrap();
        assert!(again.replayed && again.command.id() == first.command.id());
        let other_caller = send(IdempotencyKey::new("ben", "k", b"body")).await.unwrap();
        assert!(!other_caller.replayed);
        // Caller and key are kept apart.
        assert!(!send(IdempotencyKey::new("an", "nk", b"body")).await.unwrap().replayed);
        let other_body = send(IdempotencyKey::new("ann", "k", b"other")).await;
        assert!(matches!(other_body, Err(DispatchError::KeyReused)));
    });
}

#[test]
fn a_creation_whose_answer_was_lost_is_recognised_when_it_is_sent_again() {
    with_stack(|stack| async move {
        let (lossy, store) = stack.behind_a_proxy().await;
        store.ping().await.unwrap();
        let key = IdempotencyKey::new("tester", "lost", b"body");
        for key in [None, Some(&key)] {
            let command = Command::accept(new_command(), now());
            lossy.lose_next_answer();
            if let Some(key) = key {
                assert_eq!(store.reserve(key, command.key).await.unwrap().target(), command.key);
                assert!(lossy.is_quiet());
                lossy.lose_next_answer();
            }
            let created = store.create(&command, key).await.unwrap();
            assert!(matches!(created, Created::New), "{created:?}");
            assert!(lossy.is_quiet());
        }
        assert_eq!(store.count(&Default::default()).await.unwrap().total, 2);
    });
}

#[test]
fn an_expired_command_is_gone_before_it_is_deleted() {
    with_stack(|stack| async move {
        let store = &stack.stores.commands;
        let command =
            Command { expires_at: now() - chrono::TimeDelta::seconds(1), ..Command::accept(new_command(), now()) };
        store.create(&command, None).await.unwrap();
        assert_eq!(store.get(command.id()).await.unwrap(), None);
        assert_eq!(store.get_key(command.key).await.unwrap(), None);
        assert!(store.list(&Default::default(), None, 0, 10).await.unwrap().commands.is_empty());
        assert_eq!(store.count(&Default::default()).await.unwrap().total, 0);
    });
}
