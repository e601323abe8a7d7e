//! What a command costs the stores: its own writes, and what tells whether they are lawful.

use painel_shared::{
    command::{NewCommand, Status},
    command_store::IdempotencyKey,
    commands::{self, CommandType, Parameters},
    dispatch::dispatch,
    events::Origin,
    stores::Stores,
    trace::TraceContext,
};
use painel_tests::{
    exchanges::Exchanges,
    lossy::Lossy,
    stack::{Stack, with_stack},
};
use painel_workers::{
    command_work::Executor,
    commands::{HealthCheck, ReprocessQueue, ResetToken, RestartAgent},
    handler::{AnyHandler, Handler},
};
use serde_json::{Value, json};

use super::reprocess_queue::{dead, restarts};

/// Calls of DynamoDB, and statements of PostgreSQL.
type Cost = (usize, u64);

/// The product's stores, and what counts before them.
struct Counted {
    stores: Stores,
    dynamodb: Lossy,
    postgres: Exchanges,
}

impl Counted {
    async fn before(stack: &Stack) -> Self {
        let dynamodb = Lossy::before(&stack.aws_urls().0).await;
        let (postgres, url) = Exchanges::before(&stack.vars).await;
        let behind = [("PAINEL_DATABASE_URL", url), ("PAINEL_DYNAMODB_ENDPOINT", dynamodb.url())];
        let stores = Stores::from_vars(&stack.vars.clone().overridden_by(behind)).await.unwrap();
        Self { stores, dynamodb, postgres }
    }

    /// The least that something costs of several times: a session may be new, and its statements not prepared.
    async fn least(&self, something: impl AsyncFn(usize)) -> Cost {
        let mut least = (usize::MAX, u64::MAX);
        for n in 0..6 {
            let before = (self.dynamodb.traffic().0, self.postgres.statements());
            something(n).await;
            let cost = (self.dynamodb.traffic().0 - before.0, self.postgres.statements() - before.1);
            least = (least.0.min(cost.0), least.1.min(cost.1));
        }
        least
    }

    async fn of_executing<H: Handler>(&self, stack: &Stack, parameters: Value) -> Cost {
        let handler = AnyHandler::build::<H>(&stack.vars, &self.stores).unwrap();
        let executor = Executor::new(self.stores.clone(), handler);
        let tenant = Some(stack.example.tenant);
        self.least(async |_| {
            let command = stack.send::<H::Parameters>(tenant, parameters.clone()).await;
            stack.step(&executor).await;
            assert_eq!(stack.stored(&command).await.status, Status::Success);
        })
        .await
    }

    async fn of_accepting<P: Parameters>(&self, stack: &Stack, parameters: Value, with_key: bool) -> Cost {
        let command_type = CommandType::of::<P>();
        let new = NewCommand {
            command_type,
            tenant_id: Some(stack.example.tenant),
            parameters: command_type.normalise(parameters.as_object().cloned().unwrap()).unwrap(),
            reason: None,
            created_by: "tester".to_owned(),
            created_by_email: None,
            traceparent: TraceContext::root(),
        };
        self.least(async |n| {
            let key = IdempotencyKey::new("tester", &format!("{}-{n}", P::NAME), b"the same");
            let accepted = dispatch(&self.stores, new.clone(), Some(&key).filter(|_| with_key), Origin::default());
            assert!(!accepted.await.unwrap().replayed);
        })
        .await
    }
}

#[test]
fn to_execute_a_command_is_a_claim_an_effect_and_a_finish() {
    with_stack(|stack| async move {
        let counted = Counted::before(stack).await;
        let (integration, [agent, _]) = (stack.example.integration, stack.example.agents);
        let reset = counted.of_executing::<ResetToken>(stack, json!({"integration_id": integration})).await;
        assert_eq!(reset, (2, 1));
        let restart = counted.of_executing::<RestartAgent>(stack, json!({"agent_id": agent})).await;
        assert_eq!(restart, (2, 1));
        // Checks that come together share an answer.
        assert_eq!(counted.of_executing::<HealthCheck>(stack, json!({})).await, (2, 1));
    });
}

#[test]
fn to_reprocess_dead_letters_costs_a_write_each_and_the_rest_a_batch() {
    with_stack(|stack| async move {
        let (counted, queue) = (Counted::before(stack).await, restarts());
        let handler = AnyHandler::build::<ReprocessQueue>(&stack.vars, &counted.stores).unwrap();
        let executor = Executor::new(counted.stores.clone(), handler);
        let executed = async |letters: u64| {
            for _ in 0..letters {
                dead(stack, true).await;
            }
            let command = stack.send::<commands::ReprocessQueue>(None, json!({"queue_name": queue})).await;
            let before = (counted.dynamodb.traffic().0, counted.postgres.statements());
            stack.step(&executor).await;
            let after = (counted.dynamodb.traffic().0, counted.postgres.statements());
            assert_eq!(stack.stored(&command).await.result.unwrap()["moved"], letters);
            for _ in 0..letters {
                stack.next(queue).await.acknowledge().await.unwrap();
            }
            (after.0 - before.0, after.1 - before.1)
        };
        // Statements are prepared, and sessions made.
        executed(1).await;
        let (none, ten) = (executed(0).await, executed(10).await);
        // The queue may hand them out in several batches; each is looked up, written down, recorded and noted once.
        let batches = 4;
        assert!(ten.0 - none.0 <= 10 + batches, "{} calls for ten", ten.0 - none.0);
        assert!(ten.1 - none.1 <= 3 * batches as u64, "{} statements for ten", ten.1 - none.1);
    });
}

#[test]
fn to_accept_a_command_is_a_look_an_event_and_an_item() {
    with_stack(|stack| async move {
        let counted = Counted::before(stack).await;
        let parameters = json!({"integration_id": stack.example.integration});
        let without_key = counted.of_accepting::<commands::ResetToken>(stack, parameters.clone(), false).await;
        assert_eq!(without_key, (1, 2));
        // The key is given to the command before anything is recorded.
        assert_eq!(counted.of_accepting::<commands::ResetToken>(stack, parameters, true).await, (2, 2));
        assert_eq!(counted.of_accepting::<commands::HealthCheck>(stack, json!({}), false).await, (1, 2));
    });
}
