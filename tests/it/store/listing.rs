//! Lists: newest first over all statuses, in pages that neither repeat nor leave out.

use std::collections::BTreeSet;

use painel_shared::{
    command::{Command, NewCommand, Status, Verdict},
    command_store::{Claim, Cursor, CursorError, Filter},
    commands::{CommandType, HealthCheck, RestartAgent},
    ids::CommandId,
    time::now,
    trace::TraceContext,
};
use painel_tests::stack::{Stack, with_stack};
use serde_json::Map;

/// Sixty commands of two types and two owners, in groups of the same millisecond, some finished.
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
            created_by: "tester".to_owned(),
            created_by_email: None,
            traceparent: TraceContext::root(),
        };
        let command = Command::accept(new, base + chrono::TimeDelta::milliseconds(n / 7));
        stack.stores.commands.create(&command, None).await.unwrap();
        if n % 4 == 0
            && let Claim::Held(held, holder) = stack.stores.commands.claim(command.key).await.unwrap()
            && n % 8 == 0
        {
            stack.stores.commands.finish(&held, holder, Verdict::Success(Map::new())).await.unwrap();
        }
        all.push(stack.stored(&command).await);
    }
    all
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
        let filters = [
            Filter::default(),
            Filter { status: Some(Status::Pending), ..Filter::default() },
            Filter { status: Some(Status::Success), tenant_id, ..Filter::default() },
            Filter { command_type: restarts, ..Filter::default() },
            Filter { tenant_id, ..Filter::default() },
            Filter { status: Some(Status::Running), command_type: restarts, tenant_id },
        ];
        for filter in filters {
            let mut expected: Vec<&Command> = all
                .iter()
                .filter(|command| filter.status.is_none_or(|status| status == command.status))
                .filter(|command| filter.command_type.is_none_or(|kind| kind == command.command_type))
                .filter(|command| filter.tenant_id.is_none_or(|tenant| Some(tenant) == command.tenant_id))
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
        let other = Filter { status: Some(Status::Error), ..filter };
        assert_eq!(Cursor::decode(&text, &other), Err(CursorError::OtherFilter));
        for wrong in ["", "x", "e30", "!!!", &text[1..]] {
            assert_eq!(Cursor::decode(wrong, &filter), Err(CursorError::Malformed), "{wrong}");
        }
    });
}

#[test]
fn markers_are_in_no_list() {
    with_stack(|stack| async move {
        let all = fill(stack).await;
        stack.stores.commands.owe_audit(&all[0]).await.unwrap();
        let listed = stack.stores.commands.list(&Filter::default(), None, 0, 100).await.unwrap();
        let unique: BTreeSet<CommandId> = ids(&listed.commands).into_iter().collect();
        assert_eq!((listed.commands.len(), unique.len()), (60, 60));
    });
}
