//! Lists as files: what is in one is what the endpoint answers, all of it.

use painel::services::issuer::Role;
use painel_tests::{
    panel::{Visitor, Who},
    stack::with_stack,
};
use serde_json::{Value, json};

/// The rows of a file, the first of which names its columns.
fn rows(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn number(text: &str) -> Value {
    json!(text.replace(',', ".").parse::<f64>().unwrap())
}

#[test]
fn a_file_holds_what_the_endpoint_answers_beyond_a_page_and_nothing_that_a_spreadsheet_would_run() {
    with_stack(|stack| async move {
        let pool = stack.stores.db.service();
        sqlx::query(
            "INSERT INTO tenants (id, name, cnpj, segment, plan, status, mrr_estimate_cents)
             SELECT gen_random_uuid(), 'Cliente ' || n, base || cnpj_check_digits(base), 'varejo', 'starter', 'active', 123456
             FROM generate_series(1, 240) AS n, LATERAL (SELECT '9' || lpad(n::text, 11, '0') AS base) AS b",
        )
        .execute(&pool)
        .await
        .unwrap();
        for (name, tenant) in [("=1+1", 1), ("-2+3", 2), ("@SUM(A1)", 3), ("quotes \" and; commas,", 4)] {
            sqlx::query("UPDATE tenants SET name = $1 WHERE name = 'Cliente ' || $2::int")
                .bind(name)
                .bind(tenant)
                .execute(&pool)
                .await
                .unwrap();
        }
        let client = stack.serve().await;
        let mut answered = Vec::new();
        for offset in [0, 100, 200] {
            let page = client.get(&format!("/internal/tenants?limit=100&offset={offset}")).await.body;
            answered.extend(page["tenants"].as_array().unwrap().clone());
        }
        let mut visitor = Visitor::signed_in(&client.url, Who::Support).await;
        let file = visitor.get("/app/company/tenants?format=csv&offset=50&limit=10").await;
        assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
        assert_eq!(file.headers["content-disposition"], "attachment; filename=\"tenants.csv\"");
        assert_eq!(file.headers["cache-control"], "no-store");
        assert!(file.text.starts_with('\u{feff}'));
        let rows = rows(&file.text, b';');
        assert_eq!(rows[0][..6], ["Nome", "CNPJ", "Segmento", "Plano", "Situação", "MRR (R$)"]);
        assert_eq!(rows.len() - 1, answered.len());
        for (row, tenant) in rows[1..].iter().zip(&answered) {
            let name = tenant["name"].as_str().unwrap();
            assert_eq!(row[0].trim_start_matches('\''), name);
            assert_eq!(number(&row[5]), tenant["mrr_estimate"], "{name}");
            assert_eq!(number(&row[7]), json!(tenant["requests_last_30_days"].as_f64().unwrap()), "{name}");
            assert_eq!(number(&row[8]), tenant["success_rate_last_30_days"], "{name}");
            let harmless = row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
            assert!(harmless, "{row:?}");
        }
        let head = visitor.request(reqwest::Method::HEAD, "/app/company/tenants?format=csv");
        assert_eq!(visitor.send(head).await.status, 200);
        let recorded: Vec<Value> = sqlx::query_scalar(
            "SELECT to_jsonb(e) FROM operational_events e WHERE event_type = 'list.exported' AND resource_id = 'tenants'",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        assert_eq!(recorded.len(), 1, "and none for who asks for the head alone");
        assert_eq!(recorded[0]["user_id"], "development-support");
        let mut tenant = Visitor::signed_in(&client.url, Who::Of(stack.example.tenant)).await;
        assert_eq!(tenant.get("/app/company/tenants?format=csv").await.status, 403);
        let wrong = visitor.get("/app/company/tenants?format=csv&status=lost").await;
        assert_eq!(wrong.status, 400);
    });
}

#[test]
fn an_english_file_has_english_marks_and_the_log_goes_on_by_its_cursor() {
    with_stack(|stack| async move {
        sqlx::query(
            "SELECT record_events(jsonb_agg(jsonb_build_object('event_key', 'k' || n, 'event_type', 'test.made',
                'user_id', 'u', 'resource_type', 'test', 'resource_id', n::text, 'action', 'make', 'status', 'SUCCESS',
                'details', '{}'::jsonb))) FROM generate_series(1, 230) AS n",
        )
        .execute(&stack.stores.db.service())
        .await
        .unwrap();
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        visitor.post("/app/settings", &[("language", "en")]).await;
        let file = visitor.get("/app/company/audit?format=csv&event_type=test.made").await.text;
        let rows = rows(&file, b',');
        assert_eq!(rows[0][..2], ["Event", "When (UTC)"]);
        assert_eq!(rows.len(), 231);
        assert!(rows[1..].iter().all(|row| row[0] == "test.made" && row[1].ends_with('Z')), "{rows:?}");
    });
}

#[test]
fn a_tenant_takes_its_own_usage_away_a_row_a_day() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let answered = own.get("/tenant/usage?period=7d").await.body;
        let mut visitor = Visitor::signed_in(&client.url, Who::Of(stack.example.tenant)).await;
        let file = visitor.get("/app/dashboard/usage?period=7d&format=csv").await.text;
        let rows = rows(&file, b';');
        assert_eq!(rows[0][..2], ["Dia (UTC)", "Requisições"]);
        let days = answered["daily_data"].as_array().unwrap();
        assert_eq!(rows.len() - 1, days.len());
        for (row, day) in rows[1..].iter().zip(days) {
            assert_eq!(row[0], day["date"].as_str().unwrap());
            assert_eq!(number(&row[1]), json!(day["total_requests"].as_f64().unwrap()));
            assert_eq!(number(&row[4]), day["p95_response_time_ms"]);
        }
    });
}

#[test]
fn every_list_can_be_taken_away_and_holds_what_its_endpoint_answers() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        for _ in 0..3 {
            stack.send::<painel_shared::commands::HealthCheck>(Some(tenant), json!({})).await;
        }
        let mut visitor = Visitor::signed_in(&client.url, Who::Admin).await;
        // By column, what the endpoint calls it.
        for (page, endpoint, list, columns) in [
            (
                "/app/company/agents",
                "/internal/agents?limit=100".to_owned(),
                "agents",
                vec![
                    (0, "name"),
                    (2, "deployed_count"),
                    (3, "total_requests"),
                    (5, "success_rate"),
                    (6, "p95_response_time_ms"),
                ],
            ),
            (
                "/app/company/integrations",
                "/internal/integrations?limit=100".to_owned(),
                "integrations",
                vec![(0, "tenant_name"), (1, "name"), (2, "type"), (4, "last_sync_at")],
            ),
            (
                "/app/company/operations",
                "/internal/operations/commands?limit=100".to_owned(),
                "commands",
                vec![(3, "created_at"), (5, "created_by")],
            ),
            (
                "/app/company/billing",
                "/internal/billing/overview".to_owned(),
                "monthly_movements",
                vec![(1, "opening"), (2, "new"), (6, "closing")],
            ),
            (
                "/app/dashboard/agents",
                format!("/tenant/agents?tenant_id={tenant}"),
                "agents",
                vec![(0, "name"), (3, "activated_at")],
            ),
            (
                "/app/dashboard/integrations",
                format!("/tenant/integrations?tenant_id={tenant}"),
                "integrations",
                vec![(0, "name"), (2, "type"), (5, "token_fingerprint")],
            ),
        ] {
            let mut answered = client.get(&endpoint).await.body[list].as_array().unwrap().clone();
            if list == "monthly_movements" {
                // The latest month stands first.
                answered.reverse();
            }
            let of_tenant =
                if page.starts_with("/app/dashboard") { format!("&tenant_id={tenant}") } else { String::new() };
            let file = visitor.get(&format!("{page}?format=csv{of_tenant}")).await;
            assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8", "{page}: {}", file.text);
            let rows = rows(&file.text, b';');
            assert_eq!(rows.len() - 1, answered.len(), "{page}");
            for (row, entry) in rows[1..].iter().zip(&answered) {
                for (place, member) in &columns {
                    match &entry[*member] {
                        Value::Number(wanted) => {
                            assert_eq!(number(&row[*place]), json!(wanted.as_f64()), "{page}: {member}")
                        }
                        Value::String(wanted) => assert_eq!(&row[*place], wanted, "{page}: {member}"),
                        Value::Null => assert_eq!(row[*place], "", "{page}: {member}"),
                        other => panic!("{page}: {member} is {other}"),
                    }
                }
            }
        }
    });
}
