//! What a page of another origin may read, what a balancer asks, and whose address is noted.

use std::{collections::BTreeSet, time::Duration};

use painel::services::issuer::Role;
use painel_tests::{
    browser::Page,
    client::{Answer, COMMANDS, Client},
    stack::with_stack,
    wait::eventually,
};
use reqwest::{Method, RequestBuilder, header::HeaderValue};
use serde_json::json;
use sqlx::Row;

const ORIGIN: &str = "https://panel.example";

/// Asks as a page of that origin does.
async fn from_a_page(client: &Client, request: RequestBuilder) -> Answer {
    client.send(request.header("Origin", ORIGIN)).await
}

#[test]
fn a_page_of_an_allowed_origin_reads_every_answer_errors_too() {
    with_stack(|stack| async move {
        let vars = |set: &[(&'static str, &str)]| {
            let own = stack.vars.clone().overridden_by([("PAINEL_CORS_ORIGINS", ORIGIN.to_owned())]);
            set.iter().fold(own, |vars, (name, value)| vars.overridden_by([(*name, (*value).to_owned())]))
        };
        let open = stack.serve_with(&vars(&[])).await;
        let get = |client: &Client, path: &str| client.request(Method::GET, path);
        let post = |client: &Client| client.request(Method::POST, COMMANDS);
        let tenants = open.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let etag = open.get("/internal/usage/overview").await.headers["etag"].clone();
        let health = json!({"command_type": "HEALTH_CHECK"});
        open.post_once(&health, "key").await;
        let other = json!({"command_type": "HEALTH_CHECK", "reason": "another"});

        let hurried = stack.serve_with(&vars(&[("PAINEL_RATE_CALLER", "1")])).await;
        let slow = stack.serve_with(&vars(&[("PAINEL_HTTP_TIMEOUT_MS", "300")])).await;
        let full = stack.serve_with(&vars(&[("PAINEL_HTTP_IN_FLIGHT", "1")])).await;
        let cut_off = [
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel"),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300"),
        ];
        let cut_off = stack.serve_with(&vars(&cut_off)).await;
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE incidents IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let waiting = tokio::spawn({
            let full = full.clone();
            // Refused where the question below has taken the place.
            async move { while full.get("/internal/tenants").await.status == 503 {} }
        });
        eventually("the one place to be taken", Duration::from_secs(60), || async {
            // What is kept would take no place.
            let asked =
                full.request(Method::GET, "/internal/operations/events").header("Cache-Control", "no-cache");
            (full.send(asked).await.status == 503).then_some(())
        })
        .await;
        let asked = [
            (200, &open, get(&open, "/internal/usage/overview")),
            (200, &open, get(&open, "/health/live")),
            (202, &open, post(&open).json(&health)),
            (304, &open, get(&open, "/internal/usage/overview").header("If-None-Match", etag)),
            (400, &open, get(&open, "/internal/tenants?limit=0")),
            (401, &open, get(&open.with_token(None), "/internal/tenants")),
            (403, &open, get(&tenants, "/internal/tenants")),
            (404, &open, get(&open, "/nowhere")),
            (405, &open, open.request(Method::DELETE, "/internal/tenants")),
            (413, &open, post(&open).header("Content-Type", "application/json").body("x".repeat(70_000))),
            (415, &open, post(&open).body("{}")),
            (422, &open, post(&open).json(&other).header("Idempotency-Key", "key")),
            (503, &full, get(&full, "/internal/tenants")),
            (503, &slow, get(&slow, "/internal/tenants")),
            (503, &cut_off, get(&cut_off, "/internal/tenants")),
        ];
        let mut answers = Vec::new();
        for (status, client, request) in asked {
            answers.push((status, from_a_page(client, request).await));
        }
        let too_often = eventually("one too many in a second", Duration::from_secs(60), || async {
            Some(from_a_page(&hurried, get(&hurried, COMMANDS)).await).filter(|answer| answer.status == 429)
        });
        answers.push((429, too_often.await));
        for (status, answer) in answers {
            assert_eq!(answer.status, status, "{}", answer.body);
            assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN, "{status}");
            assert_eq!(answer.headers["access-control-allow-credentials"], "true", "{status}");
            let vary: BTreeSet<String> = answer
                .headers
                .get_all("vary")
                .iter()
                .flat_map(|line| line.to_str().unwrap().split(','))
                .map(|name| name.trim().to_lowercase())
                .collect();
            assert!(vary.contains("origin"), "{status}: {vary:?}");
            assert!(answer.headers.contains_key("x-request-id"), "{status}");
            let exposed = answer.headers["access-control-expose-headers"].to_str().unwrap().to_lowercase();
            assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{status}: {exposed}");
        }
        lock.rollback().await.unwrap();
        waiting.await.unwrap();
    });
}

#[test]
fn a_page_in_chromium_reads_every_answer_errors_too() {
    with_stack(|stack| async move {
        let mut page = Page::serve().await;
        let origin = page.origin();
        let vars = |set: &[(&'static str, &str)]| {
            let own = stack.vars.clone().overridden_by([("PAINEL_CORS_ORIGINS", origin.clone())]);
            set.iter().fold(own, |vars, (name, value)| vars.overridden_by([(*name, (*value).to_owned())]))
        };
        let open = stack.serve_with(&vars(&[])).await;
        let hurried = stack.serve_with(&vars(&[("PAINEL_RATE_CALLER", "1")])).await;
        let cut_off = [
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel"),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300"),
        ];
        let cut_off = stack.serve_with(&vars(&cut_off)).await;
        open.post_once(&json!({"command_type": "HEALTH_CHECK"}), "key").await;
        let token = |role, tenant| format!("Bearer {}", stack.issuer.token(role, tenant).unwrap());
        let admin = token(Role::Admin, None);
        let tenant = token(Role::Tenant, Some(stack.example.tenant));
        let get = |client: &Client, path: &str, token: &str| {
            let headers = json!({"Authorization": token, "traceparent": format!("00-{}-{}-01", "1".repeat(32), "2".repeat(16))});
            json!({"url": format!("{}{path}", client.url), "method": "GET", "headers": headers})
        };
        let post = |body: &str, key: &str| {
            let headers =
                json!({"Authorization": admin, "Content-Type": "application/json", "Idempotency-Key": key});
            json!({"url": format!("{}{COMMANDS}", open.url), "method": "POST", "headers": headers, "body": body})
        };
        let mut too_often = get(&hurried, COMMANDS, &admin);
        too_often["until"] = json!(429);
        let asked = [
            (200, json!(null), get(&open, "/internal/tenants", &admin)),
            (202, json!(null), post(r#"{"command_type": "HEALTH_CHECK"}"#, "another")),
            (400, json!("VALIDATION_ERROR"), get(&open, "/internal/tenants?limit=0", &admin)),
            (401, json!("UNAUTHORIZED"), get(&open, "/internal/tenants", "Bearer x")),
            (403, json!("FORBIDDEN"), get(&open, "/internal/tenants", &tenant)),
            (404, json!("NOT_FOUND"), get(&open, "/nowhere", &admin)),
            (
                422,
                json!("IDEMPOTENCY_KEY_REUSED"),
                post(r#"{"command_type": "HEALTH_CHECK", "reason": "x"}"#, "key"),
            ),
            (429, json!("RATE_LIMITED"), too_often),
            (503, json!("SERVICE_UNAVAILABLE"), get(&cut_off, "/internal/tenants", &admin)),
        ];
        let read = page.ask(asked.iter().map(|(_, _, ask)| ask.clone()).collect()).await;
        for ((status, error, ask), read) in asked.iter().zip(&read) {
            assert_eq!((&read["status"], &read["error"]), (&json!(status), error), "{ask}: {read}");
            assert!(read["request_id"].is_string(), "{ask}: {read}");
        }
        // A page that nobody allowed reads nothing.
        let closed = stack.serve().await;
        let mut foreign = Page::serve().await;
        let read = foreign.ask(json!([get(&closed, "/internal/tenants", &admin)])).await;
        assert!(read[0]["failed"].is_string(), "{read:?}");
    });
}

#[test]
fn a_page_may_ask_with_every_header_that_the_api_reads() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_CORS_ORIGINS", ORIGIN.to_owned())]);
        let client = stack.serve_with(&vars).await;
        let wanted =
            "authorization,content-type,idempotency-key,if-none-match,cache-control,traceparent,tracestate";
        let preflight = client
            .request(Method::OPTIONS, COMMANDS)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", wanted);
        let allowed = from_a_page(&client.with_token(None), preflight).await;
        assert_eq!(allowed.status, 200);
        let headers = allowed.headers["access-control-allow-headers"].to_str().unwrap().to_lowercase();
        let methods = allowed.headers["access-control-allow-methods"].to_str().unwrap();
        assert!(["GET", "HEAD", "POST"].iter().all(|method| methods.contains(method)), "{methods}");
        let missing: Vec<&str> = wanted.split(',').filter(|header| !headers.contains(header)).collect();
        assert!(missing.is_empty(), "{missing:?} are not in {headers}");
    });
}

#[test]
fn every_get_answers_head_with_the_same_headers_and_no_body() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut paths = super::reads::reads(stack.example.tenant);
        paths.extend(["/health", "/health/live", "/health/ready", "/openapi.json"].map(str::to_owned));
        paths.push("/internal/tenants?limit=0".to_owned());
        for path in paths {
            let got = client.get(&path).await;
            let response = client.request(Method::HEAD, &path).send().await.unwrap();
            assert_eq!(response.status(), got.status, "{path}");
            for header in ["content-type", "etag", "cache-control"] {
                assert_eq!(response.headers().get(header), got.headers.get(header), "{path}");
            }
            assert!(response.bytes().await.unwrap().is_empty(), "{path}");
        }
    });
}

#[test]
fn readiness_is_told_in_short_and_what_was_found_is_told_again_for_a_moment() {
    with_stack(|stack| async move {
        let (proxy, commands) = stack.behind_a_proxy().await;
        let stores = painel_shared::stores::Stores { commands, ..stack.stores.clone() };
        let client = stack.serve_on(stores).await.with_token(None);
        let brief = client.get("/health").await;
        assert_eq!((brief.status.as_u16(), brief.body), (200, json!({"status": "ready"})));
        let before = proxy.calls("DescribeTable");
        let asked = futures::future::join_all((0..200).map(|_| client.get("/health/ready"))).await;
        assert!(asked.iter().all(|answer| answer.status == 200));
        let calls = proxy.calls("DescribeTable") - before;
        assert!(calls < 100, "{calls} calls for 200 questions");
    });
}

#[test]
fn the_address_in_the_audit_log_is_the_one_that_a_trusted_proxy_was_asked_from() {
    with_stack(|stack| async move {
        let trusting = stack.vars.clone().overridden_by([("PAINEL_TRUSTED_PROXIES", "127.0.0.0/8".to_owned())]);
        let other = trusting.clone().overridden_by([("PAINEL_TRUSTED_HEADER", "forwarded".to_owned())]);
        for (vars, noted) in [(&stack.vars, "127.0.0.1"), (&trusting, "203.0.113.9"), (&other, "2001:db8::9")] {
            let client = stack.serve_with(vars).await;
            let request = client
                .request(Method::POST, COMMANDS)
                .json(&json!({"command_type": "HEALTH_CHECK"}))
                .header(
                    "X-Forwarded-For",
                    HeaderValue::from_bytes(b"\xff, 198.51.100.7, 203.0.113.9, 127.0.0.2").unwrap(),
                )
                .header("Forwarded", "for=198.51.100.7, for=\"[2001:db8::9]:4711\";proto=https, for=127.0.0.2")
                .header("User-Agent", HeaderValue::from_bytes(b"caf\xc3\xa9\xff").unwrap());
            let id = client.send(request).await.body["command_id"].as_str().unwrap().to_owned();
            let event = sqlx::query("SELECT ip_address, user_agent FROM operational_events WHERE resource_id = $1")
                .bind(&id)
                .fetch_one(&stack.stores.db.service())
                .await
                .unwrap();
            assert_eq!(event.get::<String, _>("ip_address"), noted);
            assert_eq!(event.get::<String, _>("user_agent"), "caf\u{e9}\u{fffd}");
        }
    });
}

#[test]
fn a_fault_has_a_code_and_values_and_the_message_says_the_first_in_words() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let answer = client.get("/tenant/incidents?limit=0&colour=red").await;
        assert_eq!(answer.body["message"], "tenant_id is required and must be a UUID");
        let answer = client.get("/internal/tenants?limit=0&colour=red").await;
        assert_eq!(answer.body["message"], "limit must be a whole number from 1 to 100");
        assert_eq!(
            answer.body["errors"],
            json!([
                {"field": "limit", "code": "out_of_range", "values": {"min": 1, "max": 100},
                 "message": "must be a whole number from 1 to 100"},
                {"field": "colour", "code": "unknown", "message": "is not known here"},
            ])
        );
        let answer =
            client.post(&json!({"command_type": "RESTART_AGENT", "tenant_id": stack.example.tenant})).await;
        assert_eq!(answer.body["message"], "parameters.agent_id is required and must be a UUID");
        assert_eq!(
            client.get("/tenant/me").await.body["errors"],
            json!([{"field": "tenant_id", "code": "required", "message": "is required and must be a UUID"}])
        );
        let answer = client.post(&json!({"command_type": "MAKE_COFFEE"})).await;
        assert_eq!(answer.body["errors"][0]["code"], "not_one_of");
        assert_eq!(answer.body["errors"][0]["values"]["allowed"][0], "HEALTH_CHECK");
    });
}
