//! Rows of daily usage whose requests are gone.

use std::collections::BTreeMap;

use painel_shared::ids::{AgentId, TenantId};
use painel_tests::stack::{Stack, with_stack};
use uuid::Uuid;

use super::{days_ago, roll};

/// Agents of tenants, each with the requests that its counter and its days show.
async fn figures(stack: &Stack) -> BTreeMap<(Uuid, Uuid), (i64, i64)> {
    let rows: Vec<(Uuid, Uuid, i64, i64)> = sqlx::query_as(
        "SELECT ta.tenant_id, ta.agent_id, ta.total_requests, COALESCE(sum(d.total_requests), 0)::bigint
         FROM tenant_agents ta LEFT JOIN tenant_usage_daily d USING (tenant_id, agent_id)
         GROUP BY ta.id",
    )
    .fetch_all(&stack.stores.db.service())
    .await
    .unwrap();
    rows.into_iter().map(|(tenant, agent, counted, daily)| ((tenant, agent), (counted, daily))).collect()
}

async fn delete_requests(stack: &Stack, tenant: TenantId, agent: AgentId, day: chrono::NaiveDate) -> i64 {
    let deleted = sqlx::query(
        "DELETE FROM agent_requests r USING tenant_agents ta
         WHERE ta.id = r.tenant_agent_id AND ta.tenant_id = $1 AND ta.agent_id = $2
           AND (r.created_at AT TIME ZONE 'UTC')::date = $3",
    )
    .bind(tenant.uuid())
    .bind(agent.uuid())
    .bind(day)
    .execute(&stack.stores.db.service())
    .await
    .unwrap();
    i64::try_from(deleted.rows_affected()).unwrap()
}

#[test]
fn an_agent_without_requests_any_more_loses_its_row_and_nothing_else_moves() {
    with_stack(|stack| async move {
        let day = days_ago(2);
        roll(stack, day, None).await;
        roll(stack, days_ago(1), None).await;
        let before = figures(stack).await;
        let own = (stack.example.tenant, stack.example.agents[0]);
        let (tenant, agent) =
            *before.iter().find(|((tenant, _), (_, daily))| *tenant != own.0.uuid() && *daily > 0).unwrap().0;
        let other = (TenantId::from(tenant), AgentId::from(agent));
        let mut expected = before.clone();
        let mut lose = |(tenant, agent): (TenantId, AgentId), count: i64| {
            assert!(count > 0);
            let (counted, daily) = expected.get_mut(&(tenant.uuid(), agent.uuid())).unwrap();
            (*counted, *daily) = (*counted - count, *daily - count);
            expected.clone()
        };
        let own_count = delete_requests(stack, own.0, own.1, day).await;
        let other_count = delete_requests(stack, other.0, other.1, day).await;

        roll(stack, day, Some(own.0)).await;
        assert_eq!(figures(stack).await, lose(own, own_count), "another tenant's row is not looked at");
        roll(stack, day, None).await;
        assert_eq!(figures(stack).await, lose(other, other_count));
    });
}
