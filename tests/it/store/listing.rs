//! Lists: newest first over all statuses, in pages that neither repeat nor leave out.

use std::collections::BTreeSet;

use painel_shared::{
    command::{Command, CommandError, NewCommand, Status, Verdict},
    command_store::{Claim, Cursor, CursorError, Filter, IdempotencyKey},
    commands::{CommandType, HealthCheck, RestartAgent},
    ids::CommandId,
    time::{now, to_text},
    trace::TraceContext,
};
use painel_tests::stack::{Stack, with_stack};
use serde_json::Map;

use crate::pure::new_command;

/// Sixty commands of two types, two owners and three days, in groups of the same millisecond, some finished.
async fn fill(stack: &Stack) -> Vec<Command> {
    let base = now() - chrono::TimeDelta::minutes(1);
    let mut all = Vec::new();
    for n in 0..60_i64 {
        let new = NewCommand {
            command_type: if n % 3 == 0 {
                CommandType::of::<RestartAgent>()
            } else {
                CommandType::of::<HealthCheck>()
            },
            tenant_id: (n % 2 == 0).then_some(stack.example.tenant),
            parameters: Map::new(),
            reason: None,
            created_by: if n % 5 == 0 { "another".to_owned() } else { "tester".to_owned() },
            created_by_email: None,
            traceparent: TraceContext::root(),
        };
        let at = base - chrono::TimeDelta::days(n / 21) + chrono::TimeDelta::milliseconds(n / 7);
        let command = Command::accept(new, at);
        stack.stores.commands.create(&command, None).await.unwrap();
        if (n % 4 == 0 || n % 7 == 3)
            && let Claim::Held(held, holder) =
                stack.stores.commands.claim(command.key, command.command_type).await.unwrap()
            && n % 8 != 4
        {
            stack.stores.commands.finish(&held, holder, verdict(n)).await.unwrap();
        }
        all.push(stack.stored(&command).await);
    }
    all
}

/// A success of some, a death of others, an end without effect of the rest.
fn verdict(n: i64) -> Verdict {
    match n % 8 {
        0 => Verdict::Success(Map::new()),
        n => Verdict::Error { error: CommandError::new("test", "for a test", true), dead_letter: n % 2 == 0 },
    }
}

fn ids(commands: &[Command]) -> Vec<CommandId> {
    commands.iter().map(Command::id).collect()
}

#[test]
fn pages_by_cursor_and_by_offset_show_each_command_once_in_order() {
    with_stack(|stack| async move {
        let all = fill(stack).await;
        let tenant_id = Some(stack.example.tenant);
        let restarts = Some(CommandType::of::<RestartAgent>());
        let newest = all[0].key.created_at.date_naive();
        let (before, oldest) = (newest - chrono::Days::new(1), newest - chrono::Days::new(2));
        let filters = [
            Filter::default(),
            Filter { from: Some(before), ..Filter::default() },
            Filter { to: Some(before), ..Filter::default() },
            Filter { from: Some(before), to: Some(before), tenant_id, ..Filter::default() },
            Filter { from: Some(oldest), to: Some(before), status: Some(Status::Pending), ..Filter::default() },
            Filter { to: Some(oldest), created_by: Some("another".to_owned()), ..Filter::default() },
            Filter { status: Some(Status::Pending), ..Filter::default() },
            Filter { status: Some(Status::Success), tenant_id, ..Filter::default() },
            Filter { command_type: restarts, ..Filter::default() },
            Filter { tenant_id, ..Filter::default() },
            Filter { status: Some(Status::Running), command_type: restarts, tenant_id, ..Filter::default() },
            Filter { created_by: Some("another".to_owned()), ..Filter::default() },
            Filter { created_by: Some("another".to_owned()), tenant_id, ..Filter::default() },
            Filter { dead_letter: Some(true), ..Filter::default() },
            Filter { dead_letter: Some(false), ..Filter::default() },
            Filter { dead_letter: Some(false), status: Some(Status::Error), ..Filter::default() },
            Filter {
                dead_letter: Some(true),
                tenant_id,
                created_by: Some("tester".to_owned()),
                ..Filter::default()
            },
        ];
        for filter in filters {
            let mut expected: Vec<&Command> = all
                .iter()
                .filter(|command| filter.status.is_none_or(|status| status == command.status))
                .filter(|command| filter.command_type.is_none_or(|kind| kind == command.command_type))
                .filter(|command| filter.tenant_id.is_none_or(|tenant| Some(tenant) == command.tenant_id))
                .filter(|command| filter.created_by.as_ref().is_none_or(|sub| *sub == command.created_by))
                .filter(|command| filter.dead_letter.is_none_or(|dead| dead == command.dead_letter))
                .filter(|command| filter.from.is_none_or(|day| command.key.created_at.date_naive() >= day))
                .filter(|command| filter.to.is_none_or(|day| command.key.created_at.date_naive() <= day))
                .collect();
            expected.sort_by_key(|command| std::cmp::Reverse((command.key.created_at, command.id())));
            let expected: Vec<CommandId> = expected.into_iter().map(Command::id).collect();
            assert!(!expected.is_empty(), "{filter:?} must not be an empty case");

            let store = &stack.stores.commands;
            assert_eq!(store.count(&filter).await.unwrap().total, expected.len() as u64, "{filter:?}");
            for limit in [1, 4, 100] {
                let mut seen = Vec::new();
                let mut cursor: Option<Cursor> = None;
                loop {
                    let page = store.list(&filter, cursor, 0, limit).await.unwrap();
                    seen.extend(ids(&page.commands));
                    let Some(next) = page.next else { break };
                    // A cursor goes through the client as text.
                    cursor = Some(Cursor::decode(&next.encode(&filter), &filter).unwrap());
                }
                assert_eq!(seen, expected, "{filter:?}, {limit} a page");
            }
            let skipped = store.list(&filter, None, 2, 3).await.unwrap();
            let expected: Vec<CommandId> = expected.into_iter().skip(2).take(3).collect();
            assert_eq!(ids(&skipped.commands), expected, "{filter:?}, by offset");
        }
    });
}

#[test]
fn a_cursor_is_bound_to_its_filter() {
    with_stack(|stack| async move {
        fill(stack).await;
        let filter = Filter::default();
        let next = stack.stores.commands.list(&filter, None, 0, 5).await.unwrap().next.unwrap();
        let text = next.encode(&filter);
        assert_eq!(Cursor::decode(&text, &filter), Ok(next));
        let other = Filter { status: Some(Status::Error), ..filter.clone() };
        assert_eq!(Cursor::decode(&text, &other), Err(CursorError::OtherFilter));
        for wrong in ["", "x", "e30", "!!!", &text[1..]] {
            assert_eq!(Cursor::decode(wrong, &filter), Err(CursorError::Malformed), "{wrong}");
        }
    });
}

#[test]
fn a_key_is_in_no_list() {
    with_stack(|stack| async move {
        let all = fill(stack).await;
        stack.stores.commands.reserve(&IdempotencyKey::new("tester", "k", b"body"), all[0].key).await.unwrap();
        let listed = stack.stores.commands.list(&Filter::default(), None, 0, 100).await.unwrap();
        let unique: BTreeSet<CommandId> = ids(&listed.commands).into_iter().collect();
        assert_eq!((listed.commands.len(), unique.len()), (60, 60));
    });
}

#[test]
fn an_index_that_lags_hides_nothing_that_this_process_has_made() {
    with_stack(|stack| async move {
        let (lagging, store) = stack.behind_a_proxy().await;
        lagging.hide_indexes();
        let mut made = Vec::new();
        for n in 0..30 {
            let command = Command::accept(new_command(), now() + chrono::TimeDelta::milliseconds(n));
            store.create(&command, None).await.unwrap();
            made.push(command.id());
        }
        made.reverse();
        let before = lagging.calls("BatchGetItem");
        let listed = store.list(&Filter::default(), None, 0, 100).await.unwrap();
        assert_eq!(ids(&listed.commands), made);
        assert_eq!(lagging.calls("BatchGetItem") - before, 1, "one call bridges the lag");
    });
}

#[test]
fn an_offset_reaches_as_far_as_is_said() {
    with_stack(|stack| async move {
        let base = now() - chrono::TimeDelta::hours(1);
        let template = Command::accept(new_command(), base);
        stack.stores.commands.create(&template, None).await.unwrap();
        let template = stack.item(&template).await;
        let ids_by_age: Vec<uuid::Uuid> = (0..700).map(|_| uuid::Uuid::now_v7()).collect();
        let newer = ids_by_age.clone();
        stack
            .fill_raw(700, |n| {
                let mut item = template.clone();
                item["command_id"]["S"] = newer[usize::try_from(n).unwrap()].to_string().into();
                item["created_at"]["S"] = to_text(base + chrono::TimeDelta::milliseconds(1 + n)).into();
                item
            })
            .await;
        let store = &stack.stores.commands;
        let listed = store.list(&Filter::default(), None, 600, 10).await.unwrap();
        let expected: Vec<CommandId> =
            ids_by_age.iter().rev().skip(600).take(10).copied().map(CommandId::from).collect();
        assert_eq!(ids(&listed.commands), expected);
        assert!(listed.next.is_some());
    });
}

#[test]
fn a_list_whose_filter_admits_few_of_many_examines_so_many_and_says_where_to_go_on() {
    with_stack(|stack| async move {
        let base = now() - chrono::TimeDelta::hours(1);
        // Older than all others, and of the only type that is asked for.
        let wanted = Command::accept(
            NewCommand { command_type: CommandType::of::<RestartAgent>(), ..new_command() },
            base - chrono::TimeDelta::hours(1),
        );
        stack.stores.commands.create(&wanted, None).await.unwrap();
        let template = stack.item(&wanted).await;
        stack
            .fill_raw(2_600, |n| {
                let at = base + chrono::TimeDelta::milliseconds(n);
                let mut item = template.clone();
                item["command_id"]["S"] = uuid::Uuid::now_v7().to_string().into();
                item["created_at"]["S"] = to_text(at).into();
                item["command_type"]["S"] = "HEALTH_CHECK".into();
                item
            })
            .await;
        let filter =
            Filter { status: Some(Status::Pending), command_type: Some(wanted.command_type), ..Filter::default() };
        let store = &stack.stores.commands;
        let first = store.list(&filter, None, 0, 10).await.unwrap();
        assert!(first.commands.is_empty(), "what was asked for lies beyond what one page looks at");
        let mut next = first.next;
        let mut found = Vec::new();
        while let Some(cursor) = next {
            let page = store.list(&filter, Some(cursor), 0, 10).await.unwrap();
            found.extend(ids(&page.commands));
            assert_ne!(page.next, Some(cursor), "each page comes further");
            next = page.next;
        }
        assert_eq!(found, [wanted.id()]);
    });
}

#[test]
fn the_total_counts_each_command_once_while_they_move() {
    with_stack(|stack| async move {
        let store = &stack.stores.commands;
        let commands = fill(stack).await;
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let moving = async {
            for command in &commands {
                // Some of them are held or finished.
                if let Claim::Held(held, holder) = store.claim(command.key, command.command_type).await.unwrap() {
                    store.finish(&held, holder, Verdict::Success(Map::new())).await.unwrap();
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        };
        let counting = async {
            let mut counted = 0;
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                assert_eq!(store.count(&Filter::default()).await.unwrap().total, 60);
                counted += 1;
            }
            assert!(counted > 5, "counted {counted} times in the meantime");
        };
        tokio::join!(moving, counting);
        assert_eq!(store.count(&Filter::default()).await.unwrap().total, 60);
    });
}
