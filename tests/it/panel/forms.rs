//! What pages send, and from where it is taken.

use std::time::Duration;

use painel_shared::queue::{Side, WorkQueue};
use painel_tests::{
    panel::{Visitor, Who},
    stack::{Stack, with_stack},
};
use reqwest::RequestBuilder;

use super::name_of;

const OPERATIONS: &str = "/app/company/operations";
const PREVIEW: &str = "/app/company/operations/preview";

async fn commands(stack: &Stack) -> u64 {
    stack.stores.commands.count(&painel_shared::command_store::Filter::default()).await.unwrap().total
}

#[test]
fn a_command_is_looked_at_and_then_sent_once_however_often_its_form_is() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Support).await;
        let [agent, _] = stack.example.agents;
        let (agent, tenant) = (agent.to_string(), stack.example.tenant.to_string());
        let form = visitor.get(&format!("{OPERATIONS}/new?command_type=RESTART_AGENT&tenant_id={tenant}")).await;
        assert!(form.text.contains(&format!("<option value=\"{agent}\"")), "{}", form.text);
        let filled = [
            ("command_type", "RESTART_AGENT"),
            ("tenant_id", &tenant),
            ("agent_id", &agent),
            ("reason", "It answers nobody."),
        ];
        let preview = visitor.post(PREVIEW, &filled).await;
        assert_eq!(preview.status, 200, "{}", preview.text);
        assert!(preview.text.contains("Reiniciar agente: "), "the button names the deed: {}", preview.text);
        assert!(preview.text.contains("It answers nobody."));
        assert_eq!(commands(stack).await, 0, "looking stores nothing");
        let key = preview.hidden("idempotency_key").to_owned();
        let sent: Vec<(&str, &str)> = filled.into_iter().chain([("idempotency_key", key.as_str())]).collect();
        let mut places = Vec::new();
        for _ in 0..3 {
            let answer = visitor.post(OPERATIONS, &sent).await;
            assert_eq!(answer.status, 303, "{}", answer.text);
            places.push(answer.location().to_owned());
        }
        places.dedup();
        assert_eq!((places.len(), commands(stack).await), (1, 1));
        let page = visitor.get(&places[0]).await;
        assert!(
            page.text.contains("O comando foi aceito") && page.text.contains("It answers nobody."),
            "{}",
            page.text
        );
    });
}

#[test]
fn what_harms_more_asks_for_more() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let (tenant, integration) = (stack.example.tenant.to_string(), stack.example.integration.to_string());
        let name = name_of(stack, stack.example.tenant.uuid()).await;
        let filled = [
            ("command_type", "RESET_TOKEN"),
            ("tenant_id", tenant.as_str()),
            ("integration_id", &integration),
            ("reason", "It has leaked."),
        ];
        let preview = visitor.post(PREVIEW, &filled).await;
        assert!(preview.text.contains(&format!("digite o nome do cliente: {name}")), "{}", preview.text);
        let key = preview.hidden("idempotency_key").to_owned();
        let mut sent: Vec<(&str, &str)> = filled.into_iter().chain([("idempotency_key", key.as_str())]).collect();
        for wrong in [None, Some("another")] {
            let mut sent = sent.clone();
            sent.extend(wrong.map(|wrong| ("typed", wrong)));
            let answer = visitor.post(OPERATIONS, &sent).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
            assert!(answer.text.contains("não confere"));
        }
        assert_eq!(commands(stack).await, 0);
        sent.push(("typed", &name));
        assert_eq!(visitor.post(OPERATIONS, &sent).await.status, 303);
        assert_eq!(commands(stack).await, 1);
        // What changes nothing asks for no reason.
        let health = visitor.post(PREVIEW, &[("command_type", "HEALTH_CHECK")]).await;
        assert_eq!(health.status, 200, "{}", health.text);
    });
}

#[test]
fn many_messages_are_confirmed_by_their_number_also_where_some_have_moved_since() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let queue = WorkQueue::named("painel.health-check").unwrap();
        for number in 0..102 {
            stack.stores.queue.publish_raw(queue, &number.to_string()).await.unwrap();
            stack.next(queue).await.dead_letter("for a test").await.unwrap();
        }
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let filled =
            [("command_type", "REPROCESS_QUEUE"), ("queue_name", queue.name()), ("reason", "They can live again.")];
        let preview = visitor.post(PREVIEW, &filled).await;
        let (key, counted) = (preview.hidden("idempotency_key").to_owned(), preview.hidden("counted").to_owned());
        assert_eq!(counted, "102");
        let sent = |typed: &'static str| -> Vec<(&str, &str)> {
            let own = [("idempotency_key", key.as_str()), ("counted", counted.as_str()), ("typed", typed)];
            filled.into_iter().chain(own).collect()
        };
        assert_eq!(visitor.post(OPERATIONS, &sent("101")).await.status, 400);
        assert_eq!(commands(stack).await, 0);
        let first = visitor.post(OPERATIONS, &sent("102")).await;
        assert_eq!(first.status, 303, "{}", first.text);
        // One fewer, and still many.
        let mut letters = stack.receiver(queue, Side::DeadLetters).await;
        let letter = letters.receive(1, Duration::from_secs(20)).await.unwrap().pop().expect("a letter");
        letter.acknowledge().await.unwrap();
        let again = visitor.post(OPERATIONS, &sent("102")).await;
        assert_eq!((again.status.as_u16(), again.location()), (303, first.location()));
        assert_eq!(commands(stack).await, 1);
    });
}

#[test]
fn what_is_wrong_is_named_and_what_was_typed_stays() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let tenant = stack.example.tenant.to_string();
        let (foreign, own) = (uuid::Uuid::new_v4().to_string(), stack.example.agents[0].to_string());
        let of = |fields: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let restart = [("command_type", "RESTART_AGENT"), ("tenant_id", tenant.as_str())];
        let rows = [
            (of(&[restart[0], restart[1], ("reason", "kept <b>")]), "field-agent_id"),
            (of(&[restart[0], restart[1], ("agent_id", "x"), ("reason", "kept <b>")]), "field-agent_id"),
            (of(&[restart[0], restart[1], ("agent_id", &own)]), "field-reason"),
            (of(&[restart[0], restart[1], ("agent_id", &foreign), ("reason", "kept <b>")]), "field-agent_id"),
            (
                of(&[
                    ("command_type", "REPROCESS_QUEUE"),
                    ("queue_name", "painel.health-check"),
                    ("message_count", "many"),
                    ("reason", "kept <b>"),
                ]),
                "field-message_count",
            ),
        ];
        for (fields, named) in rows {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let kept = fields.iter().any(|(name, _)| *name == "reason");
            // The deed is held to all that the preview is held to.
            let deed: Vec<(&str, &str)> = fields.iter().copied().chain([("idempotency_key", "a-key")]).collect();
            for (path, fields) in [(PREVIEW, fields), (OPERATIONS, deed)] {
                let answer = visitor.post(path, &fields).await;
                assert_eq!(answer.status, 400, "{fields:?}: {}", answer.text);
                assert!(answer.text.contains(&format!("href=\"#{named}\"")), "{fields:?}: {}", answer.text);
                assert!(answer.text.contains("<title>Erro: "), "{fields:?}");
                assert_eq!(answer.text.contains("kept &#60;b&#62;"), kept, "{fields:?}: {}", answer.text);
            }
        }
        let blank =
            [restart[0], restart[1], ("agent_id", own.as_str()), ("reason", "  "), ("idempotency_key", "b")];
        for path in [PREVIEW, OPERATIONS] {
            let answer = visitor.post(path, &blank).await;
            assert!(answer.status == 400 && answer.text.contains("href=\"#field-reason\""), "{}", answer.text);
        }
        assert_eq!(commands(stack).await, 0);
    });
}

#[test]
fn a_form_is_taken_from_a_page_of_the_panel_alone() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let form = [("command_type", "HEALTH_CHECK"), ("idempotency_key", "key")];
        let from = |headers: &[(&str, &str)]| -> RequestBuilder {
            headers.iter().fold(visitor.form(OPERATIONS, &form), |form, (name, value)| form.header(*name, *value))
        };
        let elsewhere = [
            from(&[]),
            from(&[("Sec-Fetch-Site", "same-site")]),
            from(&[("Sec-Fetch-Site", "cross-site")]),
            from(&[("Sec-Fetch-Site", "none")]),
            from(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")]),
            from(&[("Sec-Fetch-Site", "cross-site"), ("Origin", &url)]),
            from(&[("Origin", "null")]),
            from(&[("Origin", "https://other.example")]),
            from(&[("Origin", "http://127.0.0.1:1")]),
            from(&[("Origin", &url), ("Origin", "https://other.example")]),
        ];
        let read = |headers: &[(&str, &str)]| {
            let request = visitor.request(reqwest::Method::GET, OPERATIONS);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        };
        let scripts = [
            read(&[("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")]),
            read(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]),
            read(&[("Origin", "https://other.example")]),
        ];
        let own = [
            read(&[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")]),
            read(&[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]),
            read(&[]),
        ];
        let here = [from(&[("Sec-Fetch-Site", "same-origin")]), from(&[("Origin", &url)])];
        for request in elsewhere {
            let described = format!("{request:?}");
            assert_eq!(visitor.send(request).await.status, 403, "{described}");
        }
        assert_eq!(commands(stack).await, 0);
        for (requests, status) in [(Vec::from(scripts), 403), (own.into(), 200)] {
            for request in requests {
                let described = format!("{request:?}");
                assert_eq!(visitor.send(request).await.status, status, "{described}");
            }
        }
        for request in here {
            assert_eq!(visitor.send(request).await.status, 303);
        }
        assert_eq!(commands(stack).await, 1, "both bear the same key");
    });
}

#[test]
fn preferences_hold_for_the_next_page() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let chosen = [("language", "en"), ("zone", "UTC"), ("theme", "dark"), ("dense", "on"), ("interval", "30")];
        let saved = visitor.post("/app/settings", &chosen).await;
        assert_eq!(saved.location(), "/app/settings?saved=1");
        let page = visitor.get(saved.location()).await.text;
        assert!(page.contains("<html lang=\"en\" data-theme=\"dark\" data-density=\"dense\">"), "{page}");
        assert!(page.contains("Your preferences are saved.") && page.contains("Times in UTC"));
        assert!(page.contains("data-shortcuts=\"false\"") && page.contains("data-live=\"false\""));
        assert_eq!(visitor.post("/app/settings", &[("language", "tlh")]).await.status, 400);
        assert_eq!(visitor.post("/app/settings", &[("interval", "3")]).await.status, 400);
        let console = visitor.get("/app/company/operations").await.text;
        assert!(console.contains("data-live-millis=\"30000\""), "{console}");
    });
}

#[test]
fn a_ticket_is_opened_once_answered_and_closed_and_what_was_typed_stays() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut customer = Visitor::signed_in(&url, Who::Of(stack.example.tenant)).await;
        let mut operator = Visitor::signed_in(&url, Who::Support).await;
        let support = "/app/dashboard/support";
        let blank = customer.get(support).await;
        let key = blank.hidden("idempotency_key").to_owned();
        let wrong = [("idempotency_key", key.as_str()), ("subject", "x<script>"), ("message", "   ")];
        let refused = customer.post(support, &wrong).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text.contains("<title>Erro:"), "{}", refused.text);
        assert!(refused.text.contains("href=\"#field-message\""), "the field is named: {}", refused.text);
        assert!(refused.text.contains("value=\"x&#60;script&#62;\""), "what was typed stays: {}", refused.text);
        assert_eq!(refused.hidden("idempotency_key"), key);
        let filled = [("idempotency_key", key.as_str()), ("subject", "x<script>"), ("message", "first\r\nsecond")];
        let mut places = Vec::new();
        for _ in 0..2 {
            let sent = customer.post(support, &filled).await;
            assert_eq!(sent.status, 303, "{}", sent.text);
            places.push(sent.location().to_owned());
        }
        places.dedup();
        assert_eq!(places.len(), 1, "a double click opens one");
        let own = customer.get(&places[0]).await;
        assert!(own.text.contains("first\nsecond") && !own.text.contains("<script>"), "{}", own.text);
        let id = places[0].split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        assert!(operator.get("/app/company/tickets").await.text.contains(&id));
        let page = format!("/app/company/tickets/{id}");
        let form = operator.get(&page).await;
        let key = form.hidden("idempotency_key").to_owned();
        let empty = operator.post(&page, &[("idempotency_key", &key)]).await;
        assert_eq!(empty.status, 400, "{}", empty.text);
        let answer = [("idempotency_key", key.as_str()), ("message", "done"), ("close", "on")];
        assert_eq!(operator.post(&page, &answer).await.status, 303);
        // What is written under a key that was used stays, and is another deed if it is sent again.
        let other = [("idempotency_key", key.as_str()), ("message", "something else")];
        let refused = operator.post(&page, &other).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains(">something else</textarea>"), "{}", refused.text);
        assert_ne!(refused.hidden("idempotency_key"), key);
        let seen = customer.get(&format!("{support}/{id}")).await;
        assert!(seen.text.contains("Encerrado") && seen.text.contains("Equipe de opera"), "{}", seen.text);
        // An operator looks at the account, and writes from their own page alone.
        let looked_at = operator.get(&format!("{support}/{id}?tenant_id={}", stack.example.tenant)).await;
        assert!(!looked_at.text.contains("<textarea"), "{}", looked_at.text);
        let from_there =
            operator.post(&format!("{support}/{id}"), &[("message", "m"), ("idempotency_key", "k")]).await;
        assert_eq!(from_there.status, 403);
        let mut other = Visitor::signed_in(&url, Who::Of(super::other_tenant(stack).await.into())).await;
        assert_eq!(other.get(&format!("{support}/{id}")).await.status, 404);
        assert_eq!(
            other.post(&format!("{support}/{id}"), &[("message", "m"), ("idempotency_key", "k")]).await.status,
            404
        );
        assert_eq!(other.post(&page, &[("message", "m"), ("idempotency_key", "k")]).await.status, 403);
    });
}

#[test]
fn dead_jobs_are_chosen_one_by_one_and_only_those_are_reprocessed() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Support).await;
        let (first, _) = crate::workers::reprocess_queue::dead(stack, true).await;
        let (second, _) = crate::workers::reprocess_queue::dead(stack, true).await;
        let page = visitor.get(&format!("{OPERATIONS}/dead?queue_name=painel.restart-agent")).await;
        for command in [&first, &second] {
            assert!(page.text.contains(&format!("name=\"pick-{}\"", command.id())), "{}", page.text);
        }
        let picked = format!("pick-{}", second.id());
        let form = visitor
            .get(&format!(
                "{OPERATIONS}/new?command_type=REPROCESS_QUEUE&queue_name=painel.restart-agent&{picked}=on"
            ))
            .await;
        assert!(form.text.contains("1 comando escolhido") && form.text.contains(&picked), "{}", form.text);
        let filled = [
            ("command_type", "REPROCESS_QUEUE"),
            ("queue_name", "painel.restart-agent"),
            ("message_count", "1000"),
            ("reason", "mended"),
            (&picked, "on"),
        ];
        let preview = visitor.post(PREVIEW, &filled).await;
        assert!(preview.text.contains("Reprocessar 1 mensagem"), "{}", preview.text);
        let key = preview.hidden("idempotency_key").to_owned();
        assert!(preview.text.contains(&format!("name=\"{picked}\"")), "{}", preview.text);
        let sent: Vec<(&str, &str)> = filled.into_iter().chain([("idempotency_key", key.as_str())]).collect();
        assert_eq!(visitor.post(OPERATIONS, &sent).await.status, 303);
        stack.step(&stack.executor::<painel_workers::commands::ReprocessQueue>()).await;
        assert_eq!(stack.stored(&first).await.status, painel_shared::command::Status::Error);
        assert_eq!(stack.stored(&second).await.status, painel_shared::command::Status::Pending);
        // Who chooses none does not mean all.
        let none = visitor
            .get(&format!("{OPERATIONS}/new?command_type=REPROCESS_QUEUE&queue_name=painel.restart-agent&chosen=1"))
            .await;
        assert_eq!(none.status, 303);
        let told = visitor.get(none.location()).await;
        assert!(
            told.text.contains("Escolha ao menos uma mensagem.") && told.text.contains("<title>Erro:"),
            "{}",
            told.text
        );
        let all = visitor
            .get(&format!("{OPERATIONS}/new?command_type=REPROCESS_QUEUE&queue_name=painel.restart-agent"))
            .await;
        assert!(all.text.contains("todas as mensagens mortas da fila"), "{}", all.text);
        for wrong in ["", "?queue_name=none", "?queue_name=painel.restart-agent&cursor=x"] {
            assert_eq!(visitor.get(&format!("{OPERATIONS}/dead{wrong}")).await.status, 400, "{wrong}");
        }
    });
}

#[test]
fn days_are_asked_for_and_rolled_up_and_a_wrong_day_is_named() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Support).await;
        let page = "/app/company/operations/aggregations";
        let today = painel_shared::time::today();
        let (day, today) = ((today - chrono::Days::new(1)).to_string(), today.to_string());
        let refused = visitor.post(page, &[("from", &day), ("to", &today)]).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text.contains("href=\"#field-to\"") && refused.text.contains(&day), "{}", refused.text);
        for _ in 0..2 {
            let asked = visitor.post(page, &[("from", &day), ("to", &day)]).await;
            assert_eq!(asked.status, 303, "{}", asked.text);
            let shown = visitor.get(asked.location()).await;
            assert!(shown.text.contains("Os dias foram pedidos"), "{}", shown.text);
        }
        let runs: i64 = sqlx::query_scalar("SELECT count(*) FROM rollup_runs")
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        assert_eq!(runs, 1, "a day that waits is asked for once");
        let mut customer = Visitor::signed_in(&url, Who::Of(stack.example.tenant)).await;
        assert_eq!(customer.post(page, &[("from", &day), ("to", &day)]).await.status, 403);
    });
}

#[test]
fn preferences_hold_in_the_session_where_they_can_be_kept_nowhere_else() {
    with_stack(|stack| async move {
        let cut_off = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300".to_owned()),
        ]);
        let url = stack.serve_with(&cut_off).await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Support).await;
        let saved = visitor.post("/app/settings", &[("language", "en")]).await;
        assert_eq!(saved.location(), "/app/settings?saved_here=1", "{}", saved.text);
        let page = visitor.get(saved.location()).await.text;
        assert!(page.contains("The preferences hold in this browser."), "{page}");
    });
}
