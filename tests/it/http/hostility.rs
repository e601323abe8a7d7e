//! Who shouts loudest must not silence the others: raw sockets, against everything that a stranger can hold on to.

use std::{net::SocketAddr, time::Duration};

use painel::services::issuer::{Issuer, Role};
use painel_tests::{
    client::{Answer, COMMANDS, Client},
    host::{Health, Host},
    panel::{Visitor, Who},
    stack::{Stack, with_stack},
    wait::eventually,
};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

/// Far more than anything here may take.
const LONG: Duration = Duration::from_secs(60);

fn address(client: &Client) -> SocketAddr {
    client.url.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn connect(client: &Client) -> TcpStream {
    TcpStream::connect(address(client)).await.unwrap()
}

/// A connection on which that has been sent.
async fn having_sent(client: &Client, text: &str) -> TcpStream {
    let mut stream = connect(client).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The head of an answer.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0];
        let count = timeout(LONG, stream.read(&mut byte)).await.expect("an answer").unwrap();
        assert!(count > 0, "the connection ended after {:?}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8(read).unwrap()
}

/// Waits until the other side has ended a connection, to which that is sent meanwhile again and again.
async fn until_ended(stream: &mut TcpStream, sending: &[u8], pause: Duration) {
    let began = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        assert!(began.elapsed() < LONG, "the connection is still open");
        match timeout(pause, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            Err(_) => {
                if !sending.is_empty() && stream.write_all(sending).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn post(token: Option<&str>, framing: &str) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("POST {COMMANDS} HTTP/1.1\r\nHost: x\r\n{token}Content-Type: application/json\r\n{framing}\r\n\r\n")
}

#[test]
fn a_body_that_drips_on_after_the_answer_is_not_listened_to() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let admin = stack.issuer.token(Role::Admin, None).unwrap();
        let cases = [
            (post(None, "Transfer-Encoding: chunked"), "401"),
            (post(Some("nonsense"), "Transfer-Encoding: chunked"), "401"),
            (post(None, "Content-Length: 60000"), "401"),
            (post(Some(&admin), "Content-Length: 600000"), "413"),
            ("PUT /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "404"),
            ("GET /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), "200"),
        ];
        for (request, status) in cases {
            let mut stream = having_sent(&client, &request).await;
            let answer = head(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}{answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{request}{answer}");
            until_ended(&mut stream, b"1\r\na\r\n", Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn a_body_that_never_ends_is_given_up() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let admin = stack.issuer.token(Role::Admin, None).unwrap();
        for framing in ["Transfer-Encoding: chunked", "Content-Length: 60000"] {
            let mut stream = having_sent(&client, &post(Some(&admin), framing)).await;
            let answer = head(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 408"), "{framing}: {answer}");
            until_ended(&mut stream, b"1\r\na\r\n", Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn a_head_that_drips_is_given_up_on_a_new_connection_and_on_one_that_was_used() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut fresh = having_sent(&client, "GET /health/live HTTP/1.1\r\n").await;
        let mut used = having_sent(&client, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(head(&mut used).await.starts_with("HTTP/1.1 200"));
        used.write_all(b"GET /health/live HTTP/1.1\r\n").await.unwrap();
        let together = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\r\n";
        let mut behind = having_sent(&client, together).await;
        assert!(head(&mut behind).await.starts_with("HTTP/1.1 200"));
        let drip = Duration::from_millis(300);
        tokio::join!(
            until_ended(&mut fresh, b"X-A: b\r\n", drip),
            until_ended(&mut used, b"X-A: b\r\n", drip),
            until_ended(&mut behind, b"X-A: b\r\n", drip),
        );
    });
}

#[test]
fn a_flood_is_not_read_to_its_end() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let admin = stack.issuer.token(Role::Admin, None).unwrap();
        let chunk = format!("10000\r\n{}\r\n", "a".repeat(65_536)).into_bytes();
        let trickery = format!("1;{}\r\na\r\n", "x".repeat(60_000)).into_bytes();
        let cases = [
            (post(None, "Transfer-Encoding: chunked"), &chunk),
            (post(Some(&admin), "Transfer-Encoding: chunked"), &chunk),
            (post(Some(&admin), "Transfer-Encoding: chunked"), &trickery),
            ("PUT /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), &chunk),
        ];
        for (request, chunk) in cases {
            let mut stream = having_sent(&client, &request).await;
            let mut sent = 0;
            // What the system itself takes in for both sides is some ten MiB.
            while timeout(LONG, stream.write_all(chunk)).await.expect("to be read, or to be ended").is_ok() {
                sent += chunk.len();
                assert!(sent < 48 << 20, "{sent} bytes were taken after {request}");
            }
        }
    });
}

#[test]
fn whoever_holds_connections_keeps_nobody_out() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_CONNECTIONS", "20".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let mut held = Vec::new();
        for round in 0..60 {
            let mut stream = connect(&client).await;
            let begun = match round % 4 {
                0 => "",
                1 => "GET /health/live HTTP/1.1\r\n",
                2 => "PUT /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            // The oldest have been ended already.
            let _ = stream.write_all(begun.as_bytes()).await;
            held.push(stream);
            assert_eq!(client.on_a_new_connection().get("/health/live").await.status, 200, "with {round} held");
        }
    });
}

#[test]
fn strangers_whose_key_is_looked_for_keep_nobody_out() {
    with_stack(|stack| async move {
        let (host, url) = Host::before_the_one_in(&stack.vars, "PAINEL_AUTH_JWKS_URL").await;
        let set = [("PAINEL_AUTH_JWKS_URL", url), ("PAINEL_HTTP_CONNECTIONS", "20".to_owned())];
        let client = stack.serve_with(&stack.vars.clone().overridden_by(set)).await;
        host.become_so(Health::Silent).await;
        let token = stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap();
        held_out_by_none(
            &client,
            &format!("GET /tenant/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
        )
        .await;
    });
}

#[test]
fn users_whose_membership_is_looked_for_keep_nobody_out() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_CONNECTIONS", "20".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE tenant_users IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let token = stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap();
        held_out_by_none(
            &client,
            &format!("GET /tenant/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
        )
        .await;
        lock.rollback().await.unwrap();
    });
}

/// Asks so more often than there are places, and is not answered: others are.
async fn held_out_by_none(client: &Client, request: &str) {
    let mut held = Vec::new();
    for round in 0..40 {
        held.push(having_sent(client, request).await);
        assert_eq!(client.on_a_new_connection().get("/health/live").await.status, 200, "with {round} held");
    }
    assert!(held.iter().filter(|stream| is_open(stream)).count() >= 10, "they were not answered meanwhile");
}

#[test]
fn what_is_kept_takes_no_place_of_what_must_be_computed() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_IN_FLIGHT", "1".to_owned())]);
        let client = stack.serve_with(&vars).await;
        assert_eq!(client.get("/internal/usage/overview").await.status, 200);
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.get("/internal/tenants").await.status }
        });
        eventually("the one place to be taken", LONG, || async {
            let asked =
                client.request(Method::GET, "/internal/billing/overview").header("Cache-Control", "no-cache");
            (client.send(asked).await.status == 503).then_some(())
        })
        .await;
        assert_eq!(client.get("/internal/usage/overview").await.status, 200);
        lock.rollback().await.unwrap();
        assert_eq!(waiting.await.unwrap(), 200);
    });
}

#[test]
fn one_address_takes_no_place_of_another_and_a_trusted_proxy_has_as_many_as_it_needs() {
    with_stack(|stack| async move {
        let limited = stack.vars.clone().overridden_by([("PAINEL_HTTP_CONNECTIONS_ADDRESS", "5".to_owned())]);
        let trusting = limited.clone().overridden_by([("PAINEL_TRUSTED_PROXIES", "127.0.0.1".to_owned())]);
        for (vars, remain) in [(limited, 5), (trusting, 30)] {
            let client = stack.serve_with(&vars).await;
            let mut other = answered_from([127, 0, 0, 2], &client).await;
            let mut many = Vec::new();
            for _ in 0..30 {
                many.push(answered_from([127, 0, 0, 1], &client).await);
            }
            eventually("the other address's to be ended", LONG, || async {
                (many.iter().filter(|stream| is_open(stream)).count() == remain).then_some(())
            })
            .await;
            assert!(is_open(&other), "the other address has kept its own");
            other.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(head(&mut other).await.starts_with("HTTP/1.1 200"));
        }
    });
}

/// A connection from there that was used, and is idle.
async fn answered_from(from: [u8; 4], client: &Client) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(address(client)).await.unwrap();
    stream.write_all(b"HEAD /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream
}

/// Whether the other side has not ended it.
fn is_open(stream: &TcpStream) -> bool {
    let unread = stream.try_read(&mut [0]);
    matches!(unread, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn who_may_not_write_is_told_before_they_have_sent_anything_and_takes_no_place() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_IN_FLIGHT", "4".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let tenant = stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap();
        let admin = stack.issuer.token(Role::Admin, None).unwrap();
        let slow = |token: &str| format!("{}a", post(Some(token), "Content-Length: 60000"));
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(having_sent(&client, &slow(&tenant)).await);
            held.push(having_sent(&client, &slow(&admin)).await);
            assert_eq!(client.get("/internal/tenants").await.status, 200);
        }
        for stream in held.iter_mut().step_by(2) {
            assert!(head(stream).await.starts_with("HTTP/1.1 403"));
        }
    });
}

#[test]
fn nobody_has_more_under_way_than_their_share_and_operators_keep_theirs() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_HTTP_IN_FLIGHT", "8".to_owned()),
            ("PAINEL_HTTP_IN_FLIGHT_TENANT", "3".to_owned()),
            ("PAINEL_HTTP_IN_FLIGHT_CALLER", "100".to_owned()),
        ]);
        let client = stack.serve_with(&vars).await;
        let tenants = tenants(stack).await;
        // What is asked alike at once is computed once, so each of them asks for something else.
        let paths = ["/tenant/me", "/tenant/integrations", "/tenant/usage?period=7d", "/tenant/usage?period=90d"];
        let asked = |tenant, path: &'static str| {
            let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(tenant)).unwrap()));
            async move { own.send(own.request(Method::GET, path).header("Cache-Control", "no-cache")).await }
        };
        // Their membership is known from here on.
        for tenant in &tenants {
            assert_eq!(asked(*tenant, paths[0]).await.status, 200);
        }
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let [first, second, third] = tenants[..] else { panic!("three tenants") };
        let refused = async |mut held: Vec<tokio::task::JoinHandle<Answer>>, count: usize| {
            eventually("the refusals", LONG, || async {
                (held.iter().filter(|one| one.is_finished()).count() == count).then_some(())
            })
            .await;
            let mut statuses = Vec::new();
            for one in held.extract_if(.., |one| one.is_finished()) {
                statuses.push(one.await.unwrap().status.as_u16());
            }
            (held, statuses)
        };
        let (of_first, statuses) = refused(paths.map(|path| tokio::spawn(asked(first, path))).into(), 1).await;
        assert_eq!(statuses, [429], "three are its share");
        let others =
            [second, third].into_iter().flat_map(|tenant| paths[..3].iter().map(move |path| (tenant, *path)));
        let others = others.map(|(tenant, path)| tokio::spawn(asked(tenant, path))).collect();
        let (of_others, statuses) = refused(others, 3).await;
        assert_eq!(statuses, [503; 3], "six are tenants'");
        assert_eq!(client.get(COMMANDS).await.status, 200, "two are operators' alone");
        lock.rollback().await.unwrap();
        for one in of_first.into_iter().chain(of_others) {
            assert_eq!(one.await.unwrap().status, 200);
        }
    });
}

/// Three tenants.
async fn tenants(stack: &Stack) -> Vec<painel_shared::ids::TenantId> {
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM tenants WHERE status = 'active' ORDER BY id LIMIT 3")
            .fetch_all(&stack.stores.db.service())
            .await
            .unwrap();
    assert_eq!(ids.len(), 3);
    ids.into_iter().map(Into::into).collect()
}

#[test]
fn made_up_keys_take_nothing_from_those_whose_key_is_known_while_the_issuer_is_silent() {
    with_stack(|stack| async move {
        let (host, url) = Host::before_the_one_in(&stack.vars, "PAINEL_AUTH_JWKS_URL").await;
        let vars = stack
            .vars
            .clone()
            .overridden_by([("PAINEL_AUTH_JWKS_URL", url), ("PAINEL_HTTP_IN_FLIGHT", "4".to_owned())]);
        let client = stack.serve_with(&vars).await;
        assert_eq!(client.get("/internal/tenants").await.status, 200);
        host.become_so(Health::Silent).await;
        let foreign = Issuer::open(&stack.folder.join("foreign.pem")).unwrap();
        let made_up = |n: usize| {
            let header = jsonwebtoken::Header {
                kid: Some(format!("made-up-{n}")),
                ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256)
            };
            jsonwebtoken::encode(&header, &json!({}), foreign.signing_key()).unwrap()
        };
        let mut n = 0;
        // An unknown key is looked for once in ten seconds.
        eventually("a made-up key to be looked for", LONG, || {
            n += 1;
            let asked = client.with_token(Some(made_up(n)));
            let asked = asked.request(Method::GET, "/internal/tenants").timeout(Duration::from_millis(500)).send();
            async move { asked.await.is_err().then_some(()) }
        })
        .await;
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let asked = client.with_token(Some(made_up(10_000 + n)));
                tokio::spawn(async move { asked.get("/internal/tenants").await.status.as_u16() })
            })
            .collect();
        for _ in 0..10 {
            assert_eq!(client.get("/internal/tenants").await.status, 200);
        }
        for one in waiting {
            assert_eq!(one.await.unwrap(), 401);
        }
    });
}

#[test]
fn a_file_that_is_being_computed_keeps_its_connection() {
    with_stack(|stack| async move {
        let pool = stack.stores.db.service();
        sqlx::query(
            "INSERT INTO tenants (id, name, cnpj, segment, plan, status)
             SELECT gen_random_uuid(), 'Cliente ' || n, base || cnpj_check_digits(base), 'varejo', 'starter', 'active'
             FROM generate_series(1, 150) AS n, LATERAL (SELECT '9' || lpad(n::text, 11, '0') AS base) AS b",
        )
        .execute(&pool)
        .await
        .unwrap();
        let vars = stack.vars.clone().overridden_by([("PAINEL_HTTP_CONNECTIONS", "20".to_owned())]);
        let client = stack.serve_with(&vars).await;
        let visitor = Visitor::signed_in(&client.url, Who::Admin).await;
        // The first part is kept; the second one must be computed, which takes as long as somebody else wants.
        assert_eq!(client.get("/internal/tenants?limit=100&offset=0").await.status, 200);
        let mut lock = stack.stores.db.begin().await.unwrap();
        sqlx::query("LOCK TABLE tenant_usage_totals IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let cookies: Vec<String> = visitor.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!(
            "GET /app/company/tenants?format=csv HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n",
            cookies.join("; ")
        );
        // The next request comes at once, and is not its turn.
        let next = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut stream = having_sent(&client, &format!("{request}{next}")).await;
        let begun = head(&mut stream).await;
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        let mut text = Vec::new();
        let mut buffer = [0; 65_536];
        let lines =
            |text: &[u8]| String::from_utf8_lossy(text).lines().filter(|line| line.contains("Cliente ")).count();
        while lines(&text) < 90 {
            let count = timeout(LONG, stream.read(&mut buffer)).await.expect("the first part").unwrap();
            assert!(count > 0, "after {} lines", lines(&text));
            text.extend_from_slice(&buffer[..count]);
        }
        // It is not the one that makes room.
        let mut held = Vec::new();
        for _ in 0..40 {
            let mut idle = connect(&client).await;
            idle.write_all(b"HEAD /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(head(&mut idle).await.starts_with("HTTP/1.1 200"));
            held.push(idle);
        }
        assert!(held.iter().filter(|stream| is_open(stream)).count() < 20, "others made room");
        lock.rollback().await.unwrap();
        while !String::from_utf8_lossy(&text).contains("HTTP/1.1 200") {
            let count = timeout(LONG, stream.read(&mut buffer)).await.expect("the rest").unwrap();
            assert!(count > 0, "after {} lines", lines(&text));
            text.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(lines(&text), 150, "all of it came");
    });
}
