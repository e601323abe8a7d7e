//! The figures, beside those that a statement of the test's own gives.

use chrono::{Days, NaiveDate, Utc};
use painel_tests::{client::Client, stack::with_stack};
use serde_json::Value;
use uuid::Uuid;

use super::{body, run};

fn yesterday() -> NaiveDate {
    Utc::now().date_naive() - Days::new(1)
}

fn sum(list: &Value, member: &str) -> i64 {
    list.as_array().unwrap().iter().map(|entry| entry[member].as_i64().unwrap()).sum()
}

fn cents(amount: &Value) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "amounts of the demo data are small")]
    let cents = (amount.as_f64().unwrap() * 100.0).round() as i64;
    cents
}

#[test]
fn usage_adds_up_by_day_and_by_agent_and_covers_every_day() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        // A day without a row is a day all the same.
        let quiet = yesterday() - Days::new(3);
        let delete = "DELETE FROM tenant_usage_daily WHERE tenant_id = $1 AND date = $2";
        run(stack, sqlx::query(delete).bind(tenant.uuid()).bind(quiet)).await;
        for (period, days) in [("7d", 7), ("30d", 30), ("90d", 90)] {
            let usage = body(&client, &format!("/tenant/usage?tenant_id={tenant}&period={period}")).await;
            let daily = usage["daily_data"].as_array().unwrap();
            assert_eq!(daily.len(), days);
            assert_eq!(daily[days - 1]["date"], yesterday().to_string());
            assert_eq!(daily[days - 4]["total_requests"], 0);
            assert!(daily[days - 4]["p95_response_time_ms"].is_null());
            let (total, successful, weighted): (i64, i64, f64) = sqlx::query_as(
                "SELECT sum(total_requests)::bigint, sum(successful_requests)::bigint,
                        sum(avg_response_time_ms * total_requests) / sum(total_requests)
                 FROM tenant_usage_daily WHERE tenant_id = $1 AND date > $2::date - $3::int AND date <= $2",
            )
            .bind(tenant.uuid())
            .bind(yesterday())
            .bind(i32::try_from(days).unwrap())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
            let summary = &usage["summary"];
            assert_eq!(summary["total_requests"], total);
            assert_eq!(summary["successful_requests"], successful);
            assert!((summary["avg_response_time_ms"].as_f64().unwrap() - weighted).abs() < 0.01);
            assert_eq!(sum(&usage["daily_data"], "total_requests"), total);
            assert_eq!(sum(&usage["by_agent"], "total_requests"), total);
            let agent = usage["by_agent"][0]["agent_id"].as_str().unwrap();
            let one =
                body(&client, &format!("/tenant/usage?tenant_id={tenant}&period={period}&agent_id={agent}")).await;
            assert_eq!(one["summary"]["total_requests"], usage["by_agent"][0]["total_requests"]);
            assert_eq!(one["by_agent"].as_array().unwrap().len(), 1);
        }
    });
}

#[test]
fn percentiles_are_those_of_the_requests_themselves() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        // The last three days of the demo data are what its requests add up to.
        let usage = body(&client, &format!("/tenant/usage?tenant_id={tenant}&period=7d")).await;
        for (percent, member) in
            [(0.5, "p50_response_time_ms"), (0.95, "p95_response_time_ms"), (0.99, "p99_response_time_ms")]
        {
            let exact: f64 = sqlx::query_scalar(
                "SELECT percentile_disc($2) WITHIN GROUP (ORDER BY r.response_time_ms)::float8
                 FROM agent_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
                 WHERE ta.tenant_id = $1 AND (r.created_at AT TIME ZONE 'UTC')::date = $3",
            )
            .bind(tenant.uuid())
            .bind(percent)
            .bind(yesterday())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
            let shown = usage["daily_data"][6][member].as_f64().unwrap();
            assert!((shown - exact).abs() <= 0.0201 * exact, "{member} is {shown}, and {exact} exactly");
        }
    });
}

#[test]
fn revenue_adds_up_by_plan_by_segment_by_day_and_by_month() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for (period, days) in [("7d", 7), ("30d", 30), ("90d", 90)] {
            let billing = body(&client, &format!("/internal/billing/overview?period={period}")).await;
            let summary = &billing["financial_summary"];
            let mrr = cents(&summary["total_mrr"]);
            let total: i64 = sqlx::query_scalar(
                "SELECT sum(mrr_after_cents - mrr_before_cents)::bigint FROM subscription_events
                 WHERE occurred_at < date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
            )
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
            assert_eq!(mrr, total);
            assert_eq!(cents(&summary["total_arr"]), mrr * 12);
            for list in ["by_plan", "by_segment"] {
                let all = billing[list].as_array().unwrap();
                assert_eq!(all.iter().map(|entry| cents(&entry["total_mrr"])).sum::<i64>(), mrr, "{list}");
                assert_eq!(sum(&billing[list], "tenant_count"), 11, "{list}");
            }
            let trend = billing["revenue_trend"].as_array().unwrap();
            assert_eq!(trend.len(), days);
            assert_eq!(cents(&trend[days - 1]["mrr"]), mrr);
            let months = billing["monthly_movements"].as_array().unwrap();
            assert_eq!(months.len(), 12);
            for month in months {
                let of = |member: &str| cents(&month[member]);
                let change = of("new") + of("expansion") - of("contraction") - of("churned");
                assert_eq!(of("opening") + change, of("closing"), "{month}");
            }
            for pair in months.windows(2) {
                assert_eq!(cents(&pair[0]["closing"]), cents(&pair[1]["opening"]));
            }
            assert_eq!(cents(&months[11]["closing"]), mrr);
        }
        // Twelve days ago a tenant left, twenty days ago one took a smaller plan.
        let month = body(&client, "/internal/billing/overview?period=30d").await;
        assert_eq!(cents(&month["financial_summary"]["churned_mrr_this_period"]), 149_900);
        assert_eq!(cents(&month["financial_summary"]["contraction_mrr_this_period"]), 100_000);
        assert_eq!(sum(&month["revenue_trend"], "churned_tenants"), 1);
    });
}

async fn tenants(client: &Client, query: &str) -> Vec<Value> {
    body(client, &format!("/internal/tenants{query}")).await["tenants"].as_array().unwrap().clone()
}

#[test]
fn tenants_are_found_filtered_sorted_and_paged() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        assert_eq!(tenants(&client, "").await.len(), 10, "active ones by default");
        assert_eq!(tenants(&client, "?status=all").await.len(), 12);
        assert_eq!(tenants(&client, "?status=suspended").await.len(), 1);
        assert_eq!(tenants(&client, "?plan=enterprise&segment=saude").await.len(), 1);
        for search in ["hospital", "HOSPITAL", "11222333000696", "11.222.333/0006-96", "ital%20S"] {
            let found = tenants(&client, &format!("?search={search}")).await;
            assert_eq!(found.len(), 1, "{search}");
            assert_eq!(found[0]["name"], "Hospital Santa Clara", "{search}");
        }
        // Composed, decomposed, without accents, in either case.
        for search in ["Cl%C3%ADnica", "cli%CC%81nica", "clinica", "CL%C3%8DNICA%20V", "CLI%CC%81NICA"] {
            let found = tenants(&client, &format!("?search={search}")).await;
            assert_eq!(found.len(), 1, "{search}");
            assert_eq!(found[0]["name"], "Clínica Vida Plena", "{search}");
        }
        for search in ["11ABC333001243", "11.abc.333/0012-43", "abc.333"] {
            let found = tenants(&client, &format!("?status=all&search={search}")).await;
            assert_eq!(found.len(), 1, "{search}");
            assert_eq!(found[0]["name"], "Transportes Rota", "{search}");
        }
        assert_eq!(tenants(&client, "?plan=gold&segment=none").await.len(), 0, "what nobody has is an empty page");
        for nothing in ["%25", "_", "'%20OR%201=1--", "%5C"] {
            assert_eq!(tenants(&client, &format!("?search={nothing}")).await.len(), 0, "{nothing}");
        }
        for sort in ["created_at", "mrr_estimate", "requests_last_30_days", "active_agents"] {
            let up = tenants(&client, &format!("?status=all&sort_by={sort}")).await;
            let down = tenants(&client, &format!("?status=all&sort_by={sort}&sort_order=desc")).await;
            let key = |tenant: &Value| {
                tenant[sort].as_f64().unwrap_or_else(|| {
                    let at: chrono::DateTime<Utc> = tenant[sort].as_str().unwrap().parse().unwrap();
                    at.timestamp() as f64
                })
            };
            assert!(up.is_sorted_by(|a, b| key(a) <= key(b)), "{sort}");
            assert!(down.is_sorted_by(|a, b| key(a) >= key(b)), "{sort}");
        }
        let all = tenants(&client, "?status=all").await;
        let mut paged = Vec::new();
        for offset in (0..15).step_by(5) {
            let page = body(&client, &format!("/internal/tenants?status=all&limit=5&offset={offset}")).await;
            assert_eq!((page["total"].as_i64(), page["limit"].as_i64()), (Some(12), Some(5)));
            paged.extend(page["tenants"].as_array().unwrap().clone());
        }
        assert_eq!(paged, all);
    });
}

#[test]
fn the_overview_ranks_the_busiest_and_covers_every_day() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let overview = body(&client, "/internal/usage/overview?period=90d").await;
        let total: i64 = sqlx::query_scalar(
            "SELECT sum(total_requests)::bigint FROM tenant_usage_daily WHERE date > $1::date - 90 AND date <= $1",
        )
        .bind(yesterday())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(overview["global_stats"]["total_requests"], total);
        assert_eq!(sum(&overview["daily_trends"], "total_requests"), total);
        assert_eq!(overview["daily_trends"].as_array().unwrap().len(), 90);
        let top = overview["top_tenants_by_usage"].as_array().unwrap();
        assert_eq!(top.len(), 10);
        assert!(top.is_sorted_by(|a, b| a["total_requests"].as_i64() >= b["total_requests"].as_i64()));
        assert_eq!(sum(&overview["top_agents_by_usage"], "total_requests"), total, "there are six agents in all");
    });
}

#[test]
fn incidents_and_events_are_paged_newest_first() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let all = body(&client, &format!("/tenant/incidents?tenant_id={tenant}&limit=100")).await;
        let incidents = all["incidents"].as_array().unwrap();
        assert_eq!(all["total"], incidents.len());
        assert!(incidents.is_sorted_by(|a, b| a["created_at"].as_str() >= b["created_at"].as_str()));
        let second = body(&client, &format!("/tenant/incidents?tenant_id={tenant}&limit=1&offset=1")).await;
        assert_eq!(second["incidents"][0], incidents[1]);

        // The same instant, so that the place in the log decides.
        let insert = "INSERT INTO operational_events (event_type, category, tenant_id, user_id, action, status, created_at)
                      SELECT 'test.paged', 'test', $1, 'u' || n % 2, 'test', 'success', '2026-01-01' FROM generate_series(1, 25) n";
        run(stack, sqlx::query(insert).bind(tenant.uuid())).await;
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                body(&client, &format!("/internal/operations/events?event_type=test.paged&limit=10{cursor}")).await;
            seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted_by(|a, b| a > b));
        let of_user = body(&client, "/internal/operations/events?event_type=test.paged&user_id=u1").await;
        assert_eq!(of_user["events"].as_array().unwrap().len(), 13);
        let of_nobody = body(&client, &format!("/internal/operations/events?tenant_id={}", Uuid::new_v4())).await;
        assert_eq!(of_nobody["events"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn a_cnpj_has_the_right_check_digits() {
    with_stack(|stack| async move {
        let pool = &stack.stores.db.service();
        // The example of the Receita Federal, and one of before.
        for (cnpj, right) in [
            ("12ABC34501DE35", true),
            ("11222333000181", true),
            ("12ABC34501DE53", false),
            ("11222333000118", false),
            ("12abc34501de35", false),
            ("12ABC34501DE3", false),
            ("12ABC34501DEAB", false),
        ] {
            let sql = "UPDATE tenants SET cnpj = $1 WHERE id = $2";
            let written = sqlx::query(sql).bind(cnpj).bind(stack.example.tenant.uuid()).execute(pool).await;
            assert_eq!(written.is_ok(), right, "{cnpj}");
        }
    });
}

/// All pages of a list, each entry by its id.
async fn pages(client: &Client, path: &str, list: &str, id: &str) -> Vec<Value> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = body(client, &format!("{path}{cursor}")).await;
        seen.extend(page[list].as_array().unwrap().iter().map(|entry| entry[id].clone()));
        let Some(next) = page["next_cursor"].as_str() else { return seen };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn lists_go_on_behind_their_cursors_and_show_everything_once() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let runs = "INSERT INTO rollup_runs (id, day, state, created_at)
                    SELECT gen_random_uuid(), date '2026-01-01' + n % 4, 'succeeded', timestamptz '2026-02-01' + n / 5 * interval '1 s'
                    FROM generate_series(1, 23) AS n";
        run(stack, sqlx::query(runs)).await;
        for (path, list, id) in [
            (format!("/tenant/agents?tenant_id={tenant}&status=all"), "agents", "id"),
            (format!("/internal/tenants/{tenant}/agents?"), "agents", "id"),
            ("/internal/operations/aggregations?state=succeeded".to_owned(), "runs", "run_id"),
        ] {
            let all: Vec<Value> = body(&client, &path).await[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry[id].clone())
                .collect();
            assert!(all.len() > 2, "{path}");
            assert_eq!(pages(&client, &format!("{path}&limit=2"), list, id).await, all, "{path}");
            for wrong in ["x".to_owned(), Uuid::new_v4().to_string()] {
                let answer = client.get(&format!("{path}&cursor={wrong}")).await;
                assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec!["cursor"]), "{path}: {wrong}");
            }
        }
    });
}

#[test]
fn the_catalogue_adds_up_what_each_agent_did_for_all_and_leads_to_who_uses_it() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let catalogue = body(&client, "/internal/agents?period=90d&sort_by=total_requests&sort_order=desc").await;
        let agents = catalogue["agents"].as_array().unwrap();
        assert_eq!((agents.len(), catalogue["total"].as_u64()), (6, Some(6)));
        assert_eq!(catalogue["segments"], serde_json::json!(["educacao", "saude", "servicos", "varejo"]));
        assert!(agents.is_sorted_by(|a, b| a["total_requests"].as_i64() >= b["total_requests"].as_i64()));
        for agent in agents {
            let id: Uuid = agent["id"].as_str().unwrap().parse().unwrap();
            let (total, successful, average, deployed): (i64, i64, f64, i64) = sqlx::query_as(
                "SELECT sum(total_requests)::bigint, sum(successful_requests)::bigint,
                        sum(avg_response_time_ms * total_requests) / sum(total_requests),
                        (SELECT count(*) FROM tenant_agents WHERE agent_id = $1 AND status = 'active')
                 FROM tenant_usage_daily WHERE agent_id = $1 AND date > $2::date - 90 AND date <= $2",
            )
            .bind(id)
            .bind(yesterday())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
            assert_eq!(agent["total_requests"], total);
            assert_eq!(agent["deployed_count"], deployed);
            let by_day = agent["requests_by_day"].as_array().unwrap();
            assert_eq!((by_day.len(), by_day.iter().map(|day| day.as_i64().unwrap()).sum::<i64>()), (90, total));
            let success = agent["success_rate"].as_f64().unwrap();
            assert!((success - 100.0 * successful as f64 / total as f64).abs() < 0.01, "{agent}");
            assert!((agent["avg_response_time_ms"].as_f64().unwrap() - average).abs() < 0.01, "{agent}");
            assert!(agent["p50_response_time_ms"].as_f64() <= agent["p95_response_time_ms"].as_f64(), "{agent}");
            let users = tenants(&client, &format!("?status=all&agent_id={id}")).await;
            assert_eq!(users.len() as i64, deployed, "{agent}");
        }
        let all = body(&client, "/internal/usage/overview?period=90d").await;
        assert_eq!(sum(&catalogue["agents"], "total_requests"), all["global_stats"]["total_requests"]);
        for (query, found) in
            [("search=ATENDENTE", 1), ("segment=educacao", 2), ("segment=none", 0), ("search=%CC%81", 0)]
        {
            let agents = body(&client, &format!("/internal/agents?{query}")).await;
            assert_eq!(
                (agents["agents"].as_array().unwrap().len(), agents["total"].as_u64()),
                (found, Some(found as u64))
            );
        }
        let second = body(&client, "/internal/agents?sort_by=deployed_count&limit=1&offset=1").await;
        let by_count = body(&client, "/internal/agents?sort_by=deployed_count").await;
        assert_eq!(second["agents"][0], by_count["agents"][1]);
        assert_eq!(tenants(&client, &format!("?agent_id={}", Uuid::new_v4())).await.len(), 0);
    });
}

#[test]
fn a_period_stands_beside_the_one_before_it_and_beside_none_where_there_was_none() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let month = body(&client, &format!("/tenant/usage?tenant_id={tenant}")).await;
        let (total, failed): (i64, i64) = sqlx::query_as(
            "SELECT sum(total_requests)::bigint, sum(failed_requests)::bigint FROM tenant_usage_daily
             WHERE tenant_id = $1 AND date > $2::date - 60 AND date <= $2::date - 30",
        )
        .bind(tenant.uuid())
        .bind(yesterday())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(month["previous"]["total_requests"], total);
        assert_eq!(month["previous"]["failed_requests"], failed);
        assert!(month["previous"]["p95_response_time_ms"].is_number());
        let all: i64 = sqlx::query_scalar(
            "SELECT sum(total_requests)::bigint FROM tenant_usage_daily
             WHERE date > $1::date - 60 AND date <= $1::date - 30",
        )
        .bind(yesterday())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        let overview = body(&client, "/internal/usage/overview").await;
        assert_eq!(overview["previous"]["total_requests"], all);
        // Nothing is known of before the ninety days.
        for path in [
            format!("/tenant/usage?tenant_id={tenant}&period=90d"),
            "/internal/usage/overview?period=90d".to_owned(),
        ] {
            assert!(body(&client, &path).await["previous"].is_null(), "{path}");
        }
    });
}

#[test]
fn what_all_tenants_have_connected_is_counted_and_found() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let all = body(&client, "/internal/integrations?limit=100").await;
        assert_eq!(sum(&all["counts"], "integrations"), all["total"].as_i64().unwrap());
        let list = all["integrations"].as_array().unwrap();
        assert_eq!(list.len() as u64, all["total"].as_u64().unwrap());
        assert!(list.is_sorted_by(|a, b| a["tenant_name"].as_str() <= b["tenant_name"].as_str()));
        for count in all["counts"].as_array().unwrap() {
            let (kind, status) = (count["type"].as_str().unwrap(), count["status"].as_str().unwrap());
            let fit = body(&client, &format!("/internal/integrations?type={kind}&status={status}&limit=1")).await;
            assert_eq!(fit["total"], count["integrations"], "{count}");
            assert_eq!(fit["counts"], all["counts"], "the matrix is of all");
        }
        let found = body(&client, "/internal/integrations?search=padaria%20pao").await;
        assert_eq!(found["total"], 2);
        assert!(
            found["integrations"].as_array().unwrap().iter().all(|one| one["tenant_name"] == "Padaria Pão Quente")
        );
        let none = body(&client, "/internal/integrations?type=fax").await;
        assert_eq!((none["total"].as_i64(), none["integrations"].as_array().unwrap().len()), (Some(0), 0));
    });
}

#[test]
fn open_incidents_tell_whom_they_hit() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let pool = stack.stores.db.service();
        let incident: Uuid = sqlx::query_scalar(
            "INSERT INTO incidents (id, severity, title) VALUES (gen_random_uuid(), 'critical', 'test') RETURNING id",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        run(
            stack,
            sqlx::query("INSERT INTO incident_tenants (incident_id, tenant_id) SELECT $1, id FROM tenants")
                .bind(incident),
        )
        .await;
        let open = body(&client, "/internal/incidents?severity=critical").await;
        let newest = &open["incidents"][0];
        assert_eq!((&newest["id"], &newest["tenant_count"]), (&incident.to_string().into(), &12.into()));
        let named = newest["tenants"].as_array().unwrap();
        assert_eq!(named.len(), 10);
        assert!(named.is_sorted_by(|a, b| a["tenant_name"].as_str() <= b["tenant_name"].as_str()));
        let (mut total, mut seen) = (0, 0);
        for state in ["open", "resolved"] {
            let page = body(&client, &format!("/internal/incidents?state={state}&limit=100")).await;
            let incidents = page["incidents"].as_array().unwrap();
            assert!(incidents.iter().all(|one| one["resolved_at"].is_null() == (state == "open")), "{state}");
            total += page["total"].as_i64().unwrap();
            seen += incidents.len();
        }
        let all = body(&client, "/internal/incidents?state=all&limit=100").await;
        assert_eq!((all["total"].as_i64(), all["incidents"].as_array().unwrap().len()), (Some(total), seen));
    });
}
