//! Tickets: written once, seen by whom they are for, and told in the audit log.

use painel::services::issuer::Role;
use painel_tests::{
    client::{Answer, Client},
    stack::{Stack, with_stack},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::reads::other_tenant;

const OWN: &str = "/tenant/tickets";
const ALL: &str = "/internal/tickets";

/// Somebody of a tenant, or of the company.
fn asker(stack: &Stack, client: &Client, role: Role) -> Client {
    client.with_token(Some(stack.issuer.token(role, Some(stack.example.tenant)).unwrap()))
}

async fn post(client: &Client, path: &str, body: Value, key: Option<&str>) -> Answer {
    let request = client.request(Method::POST, path).json(&body);
    client.send(key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key))).await
}

async fn opened(client: &Client, subject: &str) -> String {
    let answer = post(client, OWN, json!({"subject": subject, "message": "it does not answer"}), None).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.headers["location"], format!("{OWN}/{id}").as_str());
    id
}

async fn events(stack: &Stack, ticket: &str) -> Vec<(String, String)> {
    let sql = "SELECT event_type, user_id FROM operational_events
               WHERE resource_type = 'ticket' AND resource_id = $1 AND tenant_id = $2 ORDER BY id";
    let all = sqlx::query_as(sql).bind(ticket).bind(stack.example.tenant.uuid());
    all.fetch_all(&stack.stores.db.service()).await.unwrap()
}

#[test]
fn a_customer_asks_an_operator_answers_and_closes_and_each_step_is_recorded() {
    with_stack(|stack| async move {
        let operator = stack.serve().await;
        let customer = asker(stack, &operator, Role::Tenant);
        let ticket = opened(&customer, "an agent is silent").await;
        let (own, all) = (format!("{OWN}/{ticket}"), format!("{ALL}/{ticket}"));
        let waiting = operator.get(ALL).await.body;
        let listed = |tickets: &Value| {
            let found = tickets["tickets"].as_array().unwrap().iter().find(|one| one["id"] == ticket.as_str());
            found.map(|one| one["status"].as_str().unwrap().to_owned())
        };
        assert_eq!(listed(&waiting).as_deref(), Some("open"));
        let answered = post(&operator, &format!("{all}/messages"), json!({"message": "restarted"}), None).await;
        assert_eq!((answered.status.as_u16(), &answered.body["status"]), (201, &json!("answered")));
        assert!(answered.body["messages"][1]["author_email"].is_string(), "operators see who answered");
        assert_eq!(listed(&operator.get(ALL).await.body), None, "it waits for no operator");
        let seen = customer.get(&own).await.body;
        assert_eq!(seen["messages"][1]["body"], "restarted");
        assert!(seen["messages"][1]["author_email"].is_null(), "a customer is not told which operator it was");
        let again = post(&customer, &format!("{own}/messages"), json!({"message": "still silent"}), None).await;
        assert_eq!((again.status.as_u16(), &again.body["status"]), (201, &json!("open")));
        for _ in 0..2 {
            let closed = post(&operator, &format!("{all}/messages"), json!({"close": true}), None).await;
            assert!(!closed.headers.contains_key("idempotency-replayed"));
            assert_eq!((closed.status.as_u16(), &closed.body["status"]), (201, &json!("closed")));
        }
        let told: Vec<String> = events(stack, &ticket).await.into_iter().map(|(event, _)| event).collect();
        assert_eq!(told, ["ticket.opened", "ticket.answered", "ticket.continued", "ticket.closed"]);
        let users: Vec<String> = events(stack, &ticket).await.into_iter().map(|(_, user)| user).collect();
        assert_eq!(users[1], "development-admin");
        assert!(users[0].starts_with("development-tenant-"));
    });
}

#[test]
fn what_is_sent_twice_with_a_key_is_written_once() {
    with_stack(|stack| async move {
        let operator = stack.serve().await;
        let customer = asker(stack, &operator, Role::Tenant);
        let body = json!({"subject": "twice", "message": "once"});
        let (first, second) = tokio::join!(
            post(&customer, OWN, body.clone(), Some("k")),
            post(&customer, OWN, body.clone(), Some("k"))
        );
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
        assert_eq!(first.body["id"], second.body["id"]);
        let replayed = |answer: &Answer| answer.headers.contains_key("idempotency-replayed");
        assert_ne!(replayed(&first), replayed(&second), "one of them made it");
        let other = post(&customer, OWN, json!({"subject": "twice", "message": "another"}), Some("k")).await;
        assert_eq!((other.status.as_u16(), other.fields()), (422, vec!["Idempotency-Key"]));
        let ticket = first.body["id"].as_str().unwrap();
        let messages = format!("{ALL}/{ticket}/messages");
        for _ in 0..3 {
            let answer = post(&operator, &messages, json!({"message": "done", "close": true}), Some("k")).await;
            assert_eq!(answer.status, 201);
            assert_eq!(answer.body["messages"].as_array().unwrap().len(), 2, "{}", answer.body);
        }
        assert_eq!(events(stack, ticket).await.len(), 2);
    });
}

#[test]
fn each_sees_what_is_theirs_and_nobody_writes_to_what_they_do_not_see() {
    with_stack(|stack| async move {
        let operator = stack.serve().await;
        let (admin, user) = (asker(stack, &operator, Role::Tenant), asker(stack, &operator, Role::User));
        let stranger = Some(stack.issuer.token(Role::Tenant, Some(other_tenant(stack).await)).unwrap());
        let stranger = operator.with_token(stranger);
        let (of_admin, of_user) =
            (opened(&admin, "of the administrator").await, opened(&user, "of the user").await);
        let ids = |answer: Answer| -> Vec<String> {
            let tickets = answer.body["tickets"].as_array().unwrap().clone();
            tickets.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        let (by_admin, by_user, by_stranger) = (admin.get(OWN).await, user.get(OWN).await, stranger.get(OWN).await);
        let (by_admin, by_user, by_stranger) = (ids(by_admin), ids(by_user), ids(by_stranger));
        assert!(
            by_admin.contains(&of_admin) && by_admin.contains(&of_user),
            "an administrator sees all of the account"
        );
        assert_eq!(by_user, [of_user.as_str()], "a user sees what they have opened");
        assert!(!by_stranger.contains(&of_admin) && !by_stranger.contains(&of_user));
        let looked_at = operator.get(&format!("{OWN}?tenant_id={}&limit=100", stack.example.tenant)).await;
        assert_eq!(ids(looked_at).len(), by_admin.len());
        let message = json!({"message": "let me in"});
        for (asker, ticket, status) in
            [(&user, &of_admin, 404), (&stranger, &of_user, 404), (&admin, &of_user, 200), (&user, &of_user, 200)]
        {
            assert_eq!(asker.get(&format!("{OWN}/{ticket}")).await.status, status);
            let written = post(asker, &format!("{OWN}/{ticket}/messages"), message.clone(), None).await;
            assert_eq!(written.status, if status == 200 { 201 } else { status }, "{}", written.body);
        }
        assert_eq!(stranger.get(&format!("{ALL}/{of_user}")).await.status, 403);
        assert_eq!(operator.get(&format!("{ALL}/{}", uuid::Uuid::new_v4())).await.status, 404);
        assert_eq!(operator.get(&format!("{ALL}/x")).await.status, 400);
    });
}

#[test]
fn a_wrong_ticket_is_named_field_by_field_and_nothing_is_stored() {
    with_stack(|stack| async move {
        let operator = stack.serve().await;
        let customer = asker(stack, &operator, Role::Tenant);
        let stored = async || -> i64 {
            let count = sqlx::query_scalar("SELECT count(*) FROM ticket_messages");
            count.fetch_one(&stack.stores.db.service()).await.unwrap()
        };
        let before = stored().await;
        for (body, fields) in [
            (json!({}), vec!["subject", "message"]),
            (json!({"subject": "", "message": "  "}), vec!["subject", "message"]),
            (json!({"subject": "two\nlines", "message": "m"}), vec!["subject"]),
            (json!({"subject": "s".repeat(201), "message": "m".repeat(5001)}), vec!["subject", "message"]),
            (json!({"subject": "s", "message": "m", "status": "closed"}), vec!["status"]),
            (json!({"subject": 1, "message": "m"}), vec!["subject"]),
            (json!({"subject": "s", "message": "nul \u{0}"}), vec!["message"]),
        ] {
            let answer = post(&customer, OWN, body.clone(), None).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, fields), "{body}");
        }
        let ticket = operator.get(&format!("{ALL}?status=all")).await.body["tickets"][0]["id"].clone();
        let messages = format!("{ALL}/{}/messages", ticket.as_str().unwrap());
        for (body, fields) in [
            (json!({}), vec!["message"]),
            (json!({"close": false}), vec!["message"]),
            (json!({"close": "yes", "message": "m"}), vec!["close"]),
            (json!({"message": " ", "close": true}), vec!["message"]),
        ] {
            let answer = post(&operator, &messages, body.clone(), None).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, fields), "{body}");
        }
        assert_eq!(stored().await, before);
        let longest = json!({"subject": "é".repeat(200), "message": "é".repeat(5000)});
        assert_eq!(post(&customer, OWN, longest, None).await.status, 201);
    });
}

#[test]
fn a_tenant_has_so_many_open_tickets_and_no_more() {
    with_stack(|stack| async move {
        let operator = stack.serve().await;
        let customer = asker(stack, &operator, Role::Tenant);
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM tickets WHERE tenant_id = $1 AND status <> 'closed'")
                .bind(stack.example.tenant.uuid())
                .fetch_one(&stack.stores.db.service())
                .await
                .unwrap();
        let mut last = String::new();
        for number in open..100 {
            last = opened(&customer, &format!("ticket {number}")).await;
        }
        let body = json!({"subject": "one more", "message": "m"});
        let refused = post(&customer, OWN, body.clone(), None).await;
        assert_eq!((refused.status.as_u16(), refused.fields()), (400, vec!["subject"]), "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["code"], "too_many_open");
        let close = format!("{ALL}/{last}/messages");
        assert_eq!(post(&operator, &close, json!({"close": true}), None).await.status, 201);
        assert_eq!(post(&customer, OWN, body, None).await.status, 201);
    });
}
