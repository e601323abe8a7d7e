//! RESTART_AGENT.

use painel_shared::{command::Status, commands};
use painel_tests::{
    host::{Health, Host},
    stack::with_stack,
};
use painel_workers::{command_work::Executor, commands::RestartAgent, handler::AnyHandler};
use serde_json::json;

#[test]
fn an_agent_is_restarted_once_whatever_is_delivered() {
    with_stack(|stack| async move {
        let [agent, _] = stack.example.agents;
        let executor = stack.executor::<RestartAgent>();
        let command =
            stack.send::<commands::RestartAgent>(Some(stack.example.tenant), json!({"agent_id": agent})).await;
        stack.publish_again(&command).await;
        stack.step(&executor).await;
        stack.step(&executor).await;
        let result = stack.stored(&command).await.result.unwrap();
        assert_eq!((&result["previous_generation"], &result["new_generation"]), (&json!(1), &json!(2)));
        assert_eq!(stack.restarts().len(), 1);
        let generation: i64 =
            sqlx::query_scalar("SELECT generation FROM tenant_agents WHERE tenant_id = $1 AND agent_id = $2")
                .bind(stack.example.tenant.uuid())
                .bind(agent.uuid())
                .fetch_one(&stack.stores.db.service())
                .await
                .unwrap();
        assert_eq!(generation, 2);
        assert_eq!(stack.events(&command, "command.succeeded").await, 1);
    });
}

#[test]
fn a_runtime_that_refuses_is_asked_again() {
    with_stack(|stack| async move {
        stack.refuse_restarts(1).await;
        let executor = stack.executor::<RestartAgent>();
        let [agent, _] = stack.example.agents;
        let command =
            stack.send::<commands::RestartAgent>(Some(stack.example.tenant), json!({"agent_id": agent})).await;
        stack.step(&executor).await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt), (Status::Pending, 1));
        assert_eq!(stored.error.unwrap().code, "agent_runtime_unavailable");
        stack.step(&executor).await;
        let stored = stack.stored(&command).await;
        assert_eq!((stored.status, stored.attempt), (Status::Success, 2));
        assert_eq!(stack.restarts().len(), 1);
    });
}

#[test]
fn a_runtime_that_says_nothing_holds_nothing_up_once_it_is_back() {
    with_stack(|stack| async move {
        let url = stack.vars.text("PAINEL_AGENT_RUNTIME_URL").unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let host = Host::before(address.parse().unwrap()).await;
        host.become_so(Health::Silent).await;
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_AGENT_RUNTIME_URL", format!("http://{}", host.address())),
            ("PAINEL_AGENT_RUNTIME_TIMEOUT_MS", "300".to_owned()),
        ]);
        let handler = AnyHandler::build::<RestartAgent>(&vars, &stack.stores).unwrap();
        let executor = Executor::new(stack.stores.clone(), handler);
        let [agent, _] = stack.example.agents;
        let command =
            stack.send::<commands::RestartAgent>(Some(stack.example.tenant), json!({"agent_id": agent})).await;
        stack.step(&executor).await;
        assert_eq!(stack.stored(&command).await.error.unwrap().code, "agent_runtime_unavailable");
        assert_eq!(host.most_open(), 1);
        host.become_so(Health::Well).await;
        stack.step(&executor).await;
        assert_eq!(stack.stored(&command).await.status, Status::Success);
    });
}
