//! Bad parameters, too many requests, slow ones, and what a browser may do.

use std::time::Duration;

use painel::services::issuer::Role;
use painel_tests::{stack::with_stack, wait::eventually};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::reads;

#[test]
fn every_parameter_that_is_wrong_is_named() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(tenant)).unwrap()));
        let table = [
            ("/tenant/me?colour=red", "colour"),
            ("/tenant/agents?status=gone", "status"),
            ("/tenant/agents?status=active&status=all", "status"),
            ("/tenant/usage?period=31d", "period"),
            ("/tenant/usage?period=", "period"),
            ("/tenant/usage?agent_id=1", "agent_id"),
            ("/tenant/usage?agent_id=%7B00000000-0000-0000-0000-000000000000%7D", "agent_id"),
            ("/tenant/incidents?limit=0", "limit"),
            ("/tenant/incidents?limit=101", "limit"),
            ("/tenant/incidents?limit=ten", "limit"),
            ("/tenant/incidents?offset=-1", "offset"),
            ("/tenant/incidents?offset=1e3", "offset"),
            ("/tenant/me?tenant_id=mine", "tenant_id"),
        ];
        for (path, field) in table {
            let answer = own.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{path}: {}", answer.body);
        }
        let table = [
            ("/internal/tenants?sort_by=cnpj", "sort_by"),
            ("/internal/tenants?sort_order=up", "sort_order"),
            ("/internal/tenants?plan=", "plan"),
            ("/internal/tenants?search=%00", "search"),
            ("/internal/tenants?search=", "search"),
            ("/internal/tenants?segment=a%0D%0Ab", "segment"),
            ("/internal/tenants/1", "id"),
            ("/internal/tenants/1/agents", "id"),
            ("/internal/usage/overview?period=1y", "period"),
            ("/internal/billing/overview?month=1", "month"),
            ("/internal/operations/events?cursor=x", "cursor"),
            ("/internal/operations/events?cursor=OTk5OTk5OTk5OTk5OTk5OTk5LjE", "cursor"),
            ("/internal/operations/events?user_id=%00", "user_id"),
            ("/internal/operations/events?limit=1000", "limit"),
        ];
        for (path, field) in table {
            let answer = client.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{path}: {}", answer.body);
        }
    });
}

#[test]
fn who_asks_too_often_is_told_how_long_to_wait_and_others_are_not() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_RATE_CALLER", "3".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let support = client.with_token(Some(stack.issuer.token(Role::Support, None).unwrap()));
        let answers = futures::future::join_all((0..20).map(|_| client.get("/internal/tenants"))).await;
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!(!refused.is_empty() && refused.len() < 20, "{} of 20 were refused", refused.len());
        for answer in refused {
            assert_eq!(answer.body["error"], "RATE_LIMITED");
            let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=2).contains(&wait));
        }
        assert_eq!(support.get("/internal/tenants").await.status, 200);
        assert_eq!(client.get("/health/live").await.status, 200);
    });
}

#[test]
fn the_users_of_a_tenant_share_a_rate() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_RATE_TENANT", "3".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let answers = futures::future::join_all((0..20).map(|_| own.get("/tenant/me"))).await;
        assert!(answers.iter().any(|answer| answer.status == 429));
        assert!(answers.iter().any(|answer| answer.status == 200));
    });
}

#[test]
fn more_than_can_be_served_is_refused_at_once_and_what_takes_too_long_is_given_up() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_HTTP_IN_FLIGHT", "1".to_owned()),
            ("PAINEL_HTTP_TIMEOUT_MS", "800".to_owned()),
        ]);
        let client = stack.serve_with(&vars).await;
        client.get("/internal/usage/overview").await;
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        // Each asks for something else: what is asked alike takes one place.
        let pages = ["?limit=1", "?limit=2", "?limit=3", "?limit=4"].map(|page| format!("/internal/tenants{page}"));
        let answers = futures::future::join_all(pages.iter().map(|page| client.get(page))).await;
        lock.rollback().await.unwrap();
        let said = |text: &str| answers.iter().filter(|answer| answer.body["detail"] == text).count();
        assert_eq!(said("the service is busy; try again"), 3, "three of four find the one place taken");
        assert_eq!(said("the request took too long; try again"), 1);
        for answer in &answers {
            assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
            assert_eq!(answer.body["error"], "SERVICE_UNAVAILABLE");
            assert!(answer.headers.contains_key("x-request-id"));
        }
        eventually(
            "the place to be free again, once what was begun has ended",
            Duration::from_secs(60),
            || async { (client.get("/internal/tenants").await.status == 200).then_some(()) },
        )
        .await;
    });
}

#[test]
fn a_client_that_dawdles_is_cut_off() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_TIMEOUT_MS", "500".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let address = client.url.strip_prefix("http://").unwrap();
        let token = stack.issuer.token(Role::Admin, None).unwrap();
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /internal/operations/commands HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(5), connection.read(&mut answer)).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&answer[..read]);
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    });
}

#[test]
fn no_page_of_another_origin_may_call_unless_it_is_configured() {
    with_stack(|stack| async move {
        let origin = "https://panel.example";
        let vars = stack.vars.clone().overridden_by([("PAINEL_CORS_ORIGINS", origin.to_owned())]);
        let (closed, open) = (stack.serve().await, stack.serve_with(&vars).await);
        let preflight = |client: &painel_tests::client::Client, origin: &str| {
            client
                .request(Method::OPTIONS, "/internal/operations/commands")
                .header("Origin", origin)
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "authorization,idempotency-key")
        };
        let allowed = open.send(preflight(&open, origin)).await;
        assert_eq!(allowed.headers["access-control-allow-origin"], origin);
        for (client, from) in [(&closed, origin), (&open, "https://evil.example")] {
            let refused = client.send(preflight(client, from)).await;
            assert!(!refused.headers.contains_key("access-control-allow-origin"), "{from}");
        }
    });
}

#[test]
fn every_answer_bears_the_security_headers() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut paths = reads(stack.example.tenant);
        paths.extend([
            "/nowhere".to_owned(),
            "/health/live".to_owned(),
            "/docs/".to_owned(),
            "/openapi.json".to_owned(),
        ]);
        for path in paths {
            let answer = client.get(&path).await;
            assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
            assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
            assert!(answer.headers.contains_key("content-security-policy"), "{path}");
            assert!(answer.headers.contains_key("cache-control"), "{path}");
            assert!(answer.headers.contains_key("x-request-id"), "{path}");
        }
    });
}

#[test]
fn headers_that_are_too_many_or_too_large_are_refused() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let address = client.url.strip_prefix("http://").unwrap();
        let large = format!("X-Large: {}\r\n", "a".repeat(200_000));
        let many: String = (0..500).map(|n| format!("X-{n}: a\r\n")).collect();
        for headers in [large, many] {
            let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
            let head = format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
            // It may be refused before all of it has been sent.
            let _ = connection.write_all(head.as_bytes()).await;
            let mut answer = vec![0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(5), connection.read(&mut answer)).await;
            let text = String::from_utf8_lossy(&answer[..read.unwrap().unwrap()]).into_owned();
            assert!(text.starts_with("HTTP/1.1 431"), "{text}");
        }
    });
}
