//! Every page, looked at by everybody.

use std::{collections::BTreeSet, time::Duration};

use painel_shared::{
    command::{CommandError, Verdict},
    command_store::{Claim, Filter},
    commands::HealthCheck,
};
use painel_tests::{
    panel::{Page, Visitor, Who},
    stack::{Stack, with_stack},
    tree,
};
use reqwest::Method;
use serde_json::json;

use super::{name_of, other_tenant};

/// The pages of a tenant's account.
const ACCOUNT: [&str; 6] = ["", "/agents", "/fibonacci", "/integrations", "/usage", "/support"];

/// Every page, and what each is answered: a tenant's user, support, an administrator.
async fn pages(stack: &Stack) -> Vec<(String, [u16; 3])> {
    let tenant = stack.example.tenant;
    let command = stack.send::<HealthCheck>(None, json!({})).await.id();
    let ticket: uuid::Uuid = sqlx::query_scalar("SELECT id FROM tickets WHERE tenant_id = $1 LIMIT 1")
        .bind(tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
    let mut pages: Vec<(String, [u16; 3])> = [
        ("/app".to_owned(), [303, 303, 303]),
        ("/app/alive".to_owned(), [200, 200, 200]),
        ("/app/palette?q=Padaria".to_owned(), [403, 200, 200]),
        ("/app/settings".to_owned(), [200, 200, 200]),
        ("/app/company".to_owned(), [403, 200, 200]),
        ("/app/company/tenants".to_owned(), [403, 200, 200]),
        (format!("/app/company/tenants/{tenant}"), [403, 200, 200]),
        ("/app/company/operations/dead?queue_name=painel.metrics-rollup".to_owned(), [403, 200, 200]),
        ("/app/company/operations/preview".to_owned(), [403, 303, 303]),
        ("/app/company/agents".to_owned(), [403, 200, 200]),
        ("/app/company/integrations".to_owned(), [403, 200, 200]),
        ("/app/company/operations".to_owned(), [403, 200, 200]),
        ("/app/company/operations/new".to_owned(), [403, 200, 200]),
        ("/app/company/operations/dead?queue_name=painel.restart-agent".to_owned(), [403, 200, 200]),
        (format!("/app/company/operations/{command}"), [403, 200, 200]),
        ("/app/company/operations/aggregations".to_owned(), [403, 200, 200]),
        ("/app/company/tickets".to_owned(), [403, 200, 200]),
        (format!("/app/company/tickets/{ticket}"), [403, 200, 200]),
        (format!("/app/dashboard/support/{ticket}"), [200, 303, 303]),
        (format!("/app/dashboard/support/{ticket}?tenant_id={tenant}"), [200, 200, 200]),
        ("/app/company/billing".to_owned(), [403, 403, 200]),
        ("/app/company/audit".to_owned(), [403, 200, 200]),
        ("/app/nowhere".to_owned(), [404, 404, 404]),
    ]
    .into();
    for page in ACCOUNT {
        pages.push((format!("/app/dashboard{page}"), [200, 303, 303]));
        pages.push((format!("/app/dashboard{page}?tenant_id={tenant}"), [200, 200, 200]));
    }
    for tab in ["users", "agents", "integrations", "incidents", "commands", "audit"] {
        pages.push((format!("/app/company/tenants/{tenant}?tab={tab}"), [403, 200, 200]));
    }
    pages
}

async fn visitors(stack: &Stack, url: &str) -> [Visitor; 3] {
    [
        Visitor::signed_in(url, Who::Of(stack.example.tenant)).await,
        Visitor::signed_in(url, Who::Support).await,
        Visitor::signed_in(url, Who::Admin).await,
    ]
}

/// What must hold for every page, whatever it says.
fn check(path: &str, page: &Page) {
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(page.headers["referrer-policy"], "same-origin", "{path}");
    if page.status == 303 || page.headers["content-type"] == "application/json" {
        return;
    }
    assert_eq!(page.headers["cache-control"], "no-store", "{path}");
    assert_eq!(page.text.matches("<h1>").count(), 1, "{path}: {}", page.text);
    assert!(page.text.contains("<html lang=\"pt-BR\""), "{path}");
    assert!(page.text.contains(" - Painel</title>"), "{path}");
    for inline in ["<style", " style=", "onclick=", "javascript:"] {
        assert!(!page.text.contains(inline), "{path} holds {inline}");
    }
    assert_eq!(nameless(&page.text), Vec::<String>::new(), "{path}");
}

/// What somebody who cannot see the page would not be told: heads of tables that do not say of what, and fields without a
/// label.
fn nameless(text: &str) -> Vec<String> {
    let tags = |name: &str| -> Vec<String> {
        let begin = format!("<{name}");
        let all = text.split(&begin).skip(1).filter(|rest| rest.starts_with([' ', '>']));
        all.map(|rest| rest.split('>').next().unwrap().to_owned()).collect()
    };
    let value =
        |tag: &str, name: &str| Some(tag.split_once(&format!(" {name}=\""))?.1.split('"').next()?.to_owned());
    let heads = tags("th").into_iter().filter(|tag| value(tag, "scope").is_none());
    let labelled: BTreeSet<String> = tags("label").iter().filter_map(|tag| value(tag, "for")).collect();
    let fields = ["input", "select", "textarea"].into_iter().flat_map(tags);
    let fields = fields.filter(|tag| {
        let kind = value(tag, "type");
        // Those stand within their label.
        let is_within = kind.as_deref().is_some_and(|kind| matches!(kind, "hidden" | "checkbox" | "radio"));
        !is_within && value(tag, "id").is_none_or(|id| !labelled.contains(&id))
    });
    heads.chain(fields).collect()
}

#[test]
fn a_head_without_scope_and_a_field_without_label_are_missed() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let page = visitor.get("/app/company/tenants").await.text;
        assert_eq!(nameless(&page), Vec::<String>::new());
        for taken in [" scope=\"col\"", " scope=\"row\"", "<label for=\"filter-status\">"] {
            assert!(page.contains(taken), "{taken}");
            assert!(!nameless(&page.replacen(taken, "", 1)).is_empty(), "{taken}");
        }
    });
}

/// The texts of a language as they stand in its file: those of the other one are not among them.
fn said(language: &str, other: &str) -> Vec<String> {
    let literals = |language: &str| -> BTreeSet<String> {
        let file = tree::root().join(format!("api/src/web/texts/{language}.rs"));
        let text = std::fs::read_to_string(file).unwrap();
        text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (own, other) = (literals(language), literals(other));
    own.into_iter()
        .filter(|text| !other.contains(text) && text.chars().count() > 3 && !text.contains('{'))
        .collect()
}

/// What a page says: its texts, and the names of what has none.
fn spoken(text: &str) -> BTreeSet<String> {
    let texts = text.split('>').filter_map(|rest| rest.split('<').next());
    let names = ["aria-label", "title", "placeholder"].into_iter().flat_map(|name| {
        text.split(&format!(" {name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>()
    });
    texts.chain(names).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

#[test]
fn a_page_in_english_holds_no_word_of_portuguese() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let portuguese = said("pt", "en");
        assert!(portuguese.len() > 200, "only {} texts are known", portuguese.len());
        let mut visitors = visitors(stack, &url).await;
        for visitor in &mut visitors {
            let spoken = spoken(&visitor.get("/app").await.text);
            assert!(spoken.is_empty() || spoken.len() < 5);
        }
        let before = spoken(&visitors[2].get("/app/company").await.text);
        assert!(portuguese.iter().any(|text| before.contains(text)), "the texts are found where they are");
        for visitor in &mut visitors {
            visitor.post("/app/settings", &[("language", "en"), ("live", "on")]).await;
        }
        for (path, expected) in pages(stack).await {
            for (visitor, status) in visitors.iter_mut().zip(expected) {
                let page = visitor.get(&path).await;
                assert_eq!(page.status, status, "{path}");
                if page.status == 303 || page.headers["content-type"] == "application/json" {
                    continue;
                }
                assert!(page.text.contains("<html lang=\"en\""), "{path}");
                let spoken = spoken(&page.text);
                let left: Vec<&String> = portuguese.iter().filter(|text| spoken.contains(*text)).collect();
                assert!(left.is_empty(), "{path}: {left:?}");
            }
        }
    });
}

#[test]
fn every_page_answers_each_role_as_it_should() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitors = visitors(stack, &url).await;
        let mut stranger = Visitor::new(&url);
        for (path, expected) in pages(stack).await {
            for (visitor, status) in visitors.iter_mut().zip(expected) {
                let page = visitor.get(&path).await;
                assert_eq!(page.status, status, "{path}: {}", page.text);
                check(&path, &page);
            }
            let of_tenant = visitors[0].get(&path).await.text;
            assert!(!of_tenant.contains("/app/company"), "{path}: a menu of operators");
            let of_support = visitors[1].get(&path).await.text;
            assert!(!of_support.contains("/app/company/billing\""), "{path}: money in the menu of support");
            let turned_away = stranger.get(&path).await;
            assert_eq!(turned_away.status, 303, "{path}");
            assert!(turned_away.location().starts_with("/app/login?return="), "{path}: {}", turned_away.location());
        }
        let billing = visitors[1].get("/app/company").await;
        assert!(!billing.text.contains("R$"), "support sees no money");
        assert!(visitors[2].get("/app/company").await.text.contains("R$"));
    });
}

#[test]
fn a_form_of_operators_is_taken_from_nobody_else() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let form = [("command_type", "HEALTH_CHECK"), ("idempotency_key", "a-key")];
        let operations = "/app/company/operations";
        for (path, expected) in [
            (format!("{operations}/preview"), [403, 200, 200]),
            (operations.to_owned(), [403, 303, 303]),
            ("/app/settings".to_owned(), [400, 400, 400]),
        ] {
            let mut stranger = Visitor::new(&url);
            assert_eq!(stranger.post(&path, &form).await.status, 401, "{path}");
            for (mut visitor, status) in visitors(stack, &url).await.into_iter().zip(expected) {
                let stands = stored(stack).await;
                let answer = visitor.post(&path, &form).await;
                assert_eq!(answer.status, status, "{path}: {}", answer.text);
                assert_eq!(stored(stack).await - stands, u64::from(status == 303), "{path}");
            }
        }
    });
}

async fn stored(stack: &Stack) -> u64 {
    stack.stores.commands.count(&Filter::default()).await.unwrap().total
}

#[test]
fn a_command_tells_of_each_attempt_and_of_its_death() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let url = client.url.clone();
        let store = &stack.stores.commands;
        let command = stack.send::<HealthCheck>(None, json!({})).await;
        let claim = async || match store.claim(command.key, command.command_type).await.unwrap() {
            Claim::Held(held, holder) => (held, holder),
            refused => panic!("{refused:?}"),
        };
        let error = CommandError::new("busy", "<script>", true);
        let (held, holder) = claim().await;
        store.retry(&held, holder, error.clone(), Duration::ZERO).await.unwrap();
        let (held, holder) = claim().await;
        store.release(&held, holder).await.unwrap();
        let (held, holder) = claim().await;
        store.retry(&held, holder, error.clone(), Duration::from_secs(3_600)).await.unwrap();

        let told = client.command(&command.id().to_string()).await;
        let outcomes: Vec<&str> =
            told["attempts"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["RETRY", "RELEASED", "RETRY"], "{told}");
        assert_eq!(told["attempts"][0]["error"]["code"], "busy");
        assert!(told["next_attempt_at"].is_string() && told["dead_letter"] == false, "{told}");
        assert_eq!(told["trace_id"], command.traceparent.trace_id());

        let path = format!("/app/company/operations/{}", command.id());
        let mut visitor = Visitor::signed_in(&url, Who::Support).await;
        let page = visitor.get(&path).await.text;
        assert_eq!(page.matches("falhou, e será repetida").count(), 2, "{page}");
        assert!(page.contains("devolvida, porque o worker foi encerrado"), "{page}");
        assert!(page.contains("Próxima tentativa em") && page.contains("busy: &#60;script&#62;"), "{page}");

        let dead = stack.send::<HealthCheck>(None, json!({})).await;
        let Claim::Held(held, holder) = store.claim(dead.key, dead.command_type).await.unwrap() else { panic!() };
        store.finish(&held, holder, Verdict::Error { error, dead_letter: true }).await.unwrap();
        for path in [format!("/app/company/operations/{}", dead.id()), "/app/company/operations".to_owned()] {
            let page = visitor.get(&path).await.text;
            assert!(page.contains(">Morto<"), "{path}: {page}");
        }
        // The ready views find what they name, and that alone.
        let console = "/app/company/operations";
        for (view, finds, not) in [
            (format!("{console}?dead_letter=true"), dead.id(), Some(command.id())),
            (format!("{console}?dead_letter=false"), command.id(), Some(dead.id())),
            (format!("{console}?created_by={}", dead.created_by), dead.id(), None),
        ] {
            let page = visitor.get(&view).await.text;
            assert!(page.contains(&finds.to_string()), "{view}: {page}");
            assert!(not.is_none_or(|not| !page.contains(&not.to_string())), "{view}: {page}");
        }
        let mine = visitor.get(&format!("{console}?created_by=development-support")).await.text;
        assert!(mine.contains("Nada com esses filtros.") && !mine.contains(&dead.id().to_string()), "{mine}");
    });
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let starts = [vec!["/app/dashboard"], vec!["/app/company"], vec!["/app/company", "/app/company/tenants"]];
        for (visitor, starts) in visitors(stack, &url).await.iter_mut().zip(starts) {
            let mut seen: BTreeSet<String> = starts.into_iter().map(str::to_owned).collect();
            let mut open: Vec<String> = seen.iter().cloned().collect();
            while let Some(path) = open.pop() {
                let page = visitor.get(&path).await;
                assert!(matches!(page.status.as_u16(), 200 | 303), "{path}: {} {}", page.status, page.text);
                for link in page.links() {
                    if seen.len() < 300 && seen.insert(link.clone()) {
                        open.push(link);
                    }
                }
            }
            assert!(seen.len() > 20, "{seen:?}");
        }
    });
}

#[test]
fn a_tenants_pages_hold_nothing_of_another_tenant() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let other = other_tenant(stack).await;
        let (own, foreign) = (name_of(stack, stack.example.tenant.uuid()).await, name_of(stack, other).await);
        let mut visitor = Visitor::signed_in(&url, Who::Of(stack.example.tenant)).await;
        for page in ACCOUNT {
            let path = format!("/app/dashboard{page}");
            let text = visitor.get(&path).await.text;
            assert!(!text.contains(&foreign) && !text.contains(&other.to_string()), "{path}");
            let named = visitor.get(&format!("{path}?tenant_id={other}")).await;
            assert!(matches!(named.status.as_u16(), 200 | 403), "{path}: {}", named.status);
            assert!(!named.text.contains(&other.to_string()), "{path} about {other}");
            assert!(!named.text.contains(&foreign), "{path} about {foreign}");
        }
        let mut operator = Visitor::signed_in(&url, Who::Support).await;
        let looked_at = operator.get(&format!("/app/dashboard?tenant_id={}", stack.example.tenant)).await.text;
        // However it is asked for.
        let part =
            operator.get(&format!("/app/dashboard/agents?tenant_id={}&fragment=live", stack.example.tenant)).await;
        assert_eq!(part.status, 200, "{}", part.text);
        assert!(looked_at.contains(&format!("Você está vendo a conta de {own} (somente leitura)")), "{looked_at}");
        let looks: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM operational_events WHERE event_type = 'account.viewed' AND tenant_id = $1",
        )
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        assert_eq!(looks, 2, "an operator's look is recorded, a tenant's own is not");
    });
}

#[test]
fn a_cookie_opens_no_endpoint_and_a_token_no_page() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut visitor = Visitor::signed_in(&client.url, Who::Admin).await;
        for path in ["/internal/tenants", "/internal/operations/commands", "/tenant/me"] {
            assert_eq!(visitor.get(path).await.status, 401, "{path}");
        }
        let page = client.request(Method::GET, "/app/company").send().await.unwrap();
        assert!(page.url().path().starts_with("/oauth2/authorize") || page.status() == 303, "{}", page.url());
    });
}

#[test]
fn a_page_shows_what_the_endpoint_answers() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut visitor = Visitor::signed_in(&client.url, Who::Admin).await;
        let tenants = client.get("/internal/tenants").await.body;
        let page = visitor.get("/app/company/tenants").await.text;
        let listed = tenants["tenants"].as_array().unwrap();
        assert!(page.contains(&format!("1 a {} de {}", listed.len(), tenants["total"])), "{page}");
        for tenant in listed {
            assert!(page.contains(&format!("/app/company/tenants/{}", tenant["id"].as_str().unwrap())), "{tenant}");
        }
        let sorted = visitor.get("/app/company/tenants?sort_by=name&sort_order=desc").await.text;
        let place = |text: &str, tenant: usize| text.find(listed[tenant]["id"].as_str().unwrap()).unwrap();
        assert!(place(&page, 0) < place(&page, 1) && place(&sorted, 0) > place(&sorted, 1));
        assert!(sorted.contains("aria-sort=\"descending\""));
    });
}

#[test]
fn a_wrong_filter_is_named_at_its_field_and_what_was_typed_stays() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let page = visitor.get("/app/company/operations?tenant_id=not-one&status=").await;
        assert_eq!(page.status, 400);
        assert!(page.text.contains("<title>Erro: "), "{}", page.text);
        assert!(
            page.text.contains("id=\"error-tenant_id\"") && page.text.contains("value=\"not-one\""),
            "{}",
            page.text
        );
        let nothing = visitor.get("/app/company/tenants?search=nobody-is-called-so").await;
        assert_eq!(nothing.status, 200);
        assert!(nothing.text.contains("Nada com esses filtros.") && nothing.text.contains("Limpar filtros"));
    });
}

#[test]
fn what_the_data_says_is_text() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let script = "<script>alert(1)</script>\"'";
        for statement in [
            "UPDATE tenants SET name = $1 || name",
            "UPDATE agents SET name = $1 || name",
            "UPDATE tenant_integrations SET name = $1 || name, last_error = $1",
            "UPDATE incidents SET title = $1, description = $1",
            "UPDATE tenant_users SET full_name = $1",
        ] {
            sqlx::query(statement).bind(script).execute(&stack.stores.db.service()).await.unwrap();
        }
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        for (path, _) in pages(stack).await {
            let page = visitor.get(&path).await;
            let is_html =
                page.headers.get("content-type").is_some_and(|kind| kind.to_str().unwrap().contains("html"));
            assert!(!is_html || !page.text.contains("<script>alert"), "{path}: {}", page.text);
        }
    });
}

#[test]
fn with_postgresql_away_the_console_still_lists_commands_and_says_what_is_missing() {
    with_stack(|stack| async move {
        let command = stack.send::<HealthCheck>(None, json!({})).await.id();
        let cut_off = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300".to_owned()),
        ]);
        let url = stack.serve_with(&cut_off).await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let console = visitor.get("/app/company/operations").await;
        assert_eq!(console.status, 200);
        assert!(console.text.contains(&command.to_string()), "{}", console.text);
        let page = visitor.get(&format!("/app/company/operations/{command}")).await;
        assert!(page.text.contains("O registro de auditoria não respondeu"), "{}", page.text);
        let company = visitor.get("/app/company").await;
        assert_eq!(company.status, 200, "the rest of the page stands");
        assert!(company.text.contains("Serviço indisponível") && company.text.contains("Tentar de novo"));
        assert_eq!(visitor.get("/app/company/tenants").await.status, 503);
    });
}

#[test]
fn what_is_live_is_answered_only_where_it_has_changed() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let mut visitor = Visitor::signed_in(&client.url, Who::Support).await;
        let path = "/app/company/operations?fragment=live";
        let first = visitor.get(path).await;
        assert_eq!(first.status, 200);
        assert!(first.text.trim_start().starts_with("<div id=\"live\""), "{}", first.text);
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        let again = visitor.request(Method::GET, path).header("If-None-Match", &etag);
        let unchanged = visitor.send(again).await;
        assert_eq!(unchanged.status, 304);
        let head: usize = unchanged.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(head + "HTTP/1.1 304 Not Modified\r\n\r\n".len() <= 300, "{:?}", unchanged.headers);
        client.post(&json!({"command_type": "HEALTH_CHECK"})).await;
        let changed = visitor.request(Method::GET, path).header("If-None-Match", &etag);
        let changed = visitor.send(changed).await;
        assert_eq!(changed.status, 200);
        assert!(changed.text.contains("Pendente") && changed.text.contains("data-live-millis=\"1000\""));
    });
}
