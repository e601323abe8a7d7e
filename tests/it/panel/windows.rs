//! The panel in a real browser.

use std::time::Duration;

use painel_shared::commands::HealthCheck as Health;
use painel_tests::{
    client::COMMANDS,
    panel::Who,
    stack::{Stack, with_stack},
    wait::eventually,
    window::{Scheme, Window},
};
use painel_workers::commands::{HealthCheck, RestartAgent};
use serde_json::json;
use thirtyfour::Key;
use uuid::Uuid;

use crate::workers::reprocess_queue::dead;

const OPERATIONS: &str = "/app/company/operations";

/// Looks at a page at both widths and in both schemes; what is wrong with it.
async fn look_at(window: &Window, name: &str, path: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    window.go(path).await;
    for width in [320, 1280] {
        for scheme in [Scheme::Light, Scheme::Dark] {
            window.look(width, scheme).await;
            let what = format!("{name} at {width}, {scheme:?}");
            window.picture(&format!("{name}_{width}_{scheme:?}")).await;
            let found = window.violations().await;
            wrong.extend(found.into_iter().map(|one| format!("{what}: {one}")));
            let overflow = window.overflow().await;
            if overflow > 0 {
                wrong.push(format!("{what}: {overflow} pixels too wide"));
            }
        }
    }
    // The browser tells of the page's own status, too; what a page asks for must be there.
    let own = |one: &String| one.contains("status of 4") && !one.contains("/app/assets/");
    let away = |one: &String| one.contains("status of 503") && !one.contains("/app/assets/");
    let complaints = window.complaints().await.into_iter().filter(|one| !own(one) && !away(one));
    wrong.extend(complaints.map(|complaint| format!("{name}: {complaint}")));
    wrong
}

/// A ticket of the example's tenant that was answered.
async fn ticket_of(stack: &Stack) -> Uuid {
    sqlx::query_scalar("SELECT id FROM tickets WHERE tenant_id = $1 AND status = 'answered'")
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap()
}

#[test]
fn administrators_pages_can_be_used_by_everybody() {
    with_stack(|stack| look_at_operators_pages(stack, Who::Admin, ""));
}

#[test]
fn the_supports_pages_can_be_used_by_everybody() {
    with_stack(|stack| look_at_operators_pages(stack, Who::Support, "support_"));
}

async fn look_at_operators_pages(stack: &'static Stack, who: Who, begin: &str) {
    let url = stack.serve().await.url;
    let tenant = stack.example.tenant;
    let command = stack.send::<Health>(None, json!({})).await.id();
    let ticket = ticket_of(stack).await;
    dead(stack, true).await;
    let window = Window::open(&url).await;
    window.sign_in(who).await;
    let pages = [
        ("company", "/app/company".to_owned()),
        ("tenants", "/app/company/tenants".to_owned()),
        ("tenants_none", "/app/company/tenants?search=nobody-is-called-so".to_owned()),
        ("tenant", format!("/app/company/tenants/{tenant}")),
        ("tenant_agents", format!("/app/company/tenants/{tenant}?tab=agents")),
        ("dead", format!("{OPERATIONS}/dead?queue_name=painel.restart-agent")),
        ("catalogue", "/app/company/agents".to_owned()),
        ("connections", "/app/company/integrations".to_owned()),
        ("connections_none", "/app/company/integrations?search=nobody-is-called-so".to_owned()),
        ("operations", OPERATIONS.to_owned()),
        ("operations_wrong", format!("{OPERATIONS}?tenant_id=x")),
        ("command", format!("{OPERATIONS}/{command}")),
        ("command_new", format!("{OPERATIONS}/new")),
        ("command_tenant", format!("{OPERATIONS}/new?command_type=RESET_TOKEN")),
        ("command_form", format!("{OPERATIONS}/new?command_type=RESTART_AGENT&tenant_id={tenant}")),
        ("aggregations", format!("{OPERATIONS}/aggregations")),
        ("tickets", "/app/company/tickets".to_owned()),
        ("ticket", format!("/app/company/tickets/{ticket}")),
        ("billing", "/app/company/billing".to_owned()),
        ("audit", "/app/company/audit".to_owned()),
        ("settings", "/app/settings".to_owned()),
        ("looked_at", format!("/app/dashboard?tenant_id={tenant}")),
        ("nowhere", "/app/nowhere".to_owned()),
    ];
    let mut wrong = Vec::new();
    for (name, path) in pages {
        wrong.extend(look_at(&window, &format!("{begin}{name}"), &path).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pages_of_a_tenants_administrator_can_be_used_by_everybody() {
    with_stack(|stack| look_at_own_pages(stack, Who::Of(stack.example.tenant), "own"));
}

#[test]
fn the_pages_of_a_tenants_user_can_be_used_by_everybody() {
    with_stack(|stack| look_at_own_pages(stack, Who::UserOf(stack.example.tenant), "user"));
}

async fn look_at_own_pages(stack: &'static Stack, who: Who, begin: &str) {
    let url = stack.serve().await.url;
    let window = Window::open(&url).await;
    window.sign_in(who).await;
    let mut wrong = Vec::new();
    for name in ["dashboard", "agents", "fibonacci", "integrations", "usage", "support"] {
        let path = if name == "dashboard" { "/app/dashboard".to_owned() } else { format!("/app/dashboard/{name}") };
        wrong.extend(look_at(&window, &format!("{begin}_{name}"), &path).await);
    }
    // A user who has not opened it is told that there is none.
    let ticket = format!("/app/dashboard/support/{}", ticket_of(stack).await);
    wrong.extend(look_at(&window, &format!("{begin}_ticket"), &ticket).await);
    wrong.extend(look_at(&window, &format!("{begin}_forbidden"), "/app/company").await);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_taken_from_a_page_is_missed() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let window = Window::open(&url).await;
        window.sign_in(Who::Admin).await;
        let faults = [
            ("the label of a field", "document.querySelector('label[for=filter-status]').remove()", "select-name"),
            ("the language", "document.documentElement.removeAttribute('lang')", "html-has-lang"),
            ("the title", "document.title = ''", "document-title"),
        ];
        for (what, fault, rule) in faults {
            window.go("/app/company/tenants").await;
            window.look(320, Scheme::Light).await;
            assert_eq!(window.violations().await, Vec::<String>::new());
            window.run(fault).await;
            let found = window.violations().await;
            assert!(found.iter().any(|one| one.contains(rule)), "{what}: {found:?}");
        }
    });
}

/// Presses Tab until that has the focus, which must be seen.
async fn tab_to(window: &Window, selector: &str) {
    window.find(selector).await;
    for _ in 0..80 {
        window.type_keys(Key::Tab).await;
        let state = window
            .run(&format!(
                "const at = document.activeElement;
                 return [at.matches(`{selector}`), getComputedStyle(at).outlineStyle !== 'none'];"
            ))
            .await;
        if state[0] == true {
            assert_eq!(state[1], true, "{selector} has the focus, and it is not seen");
            return;
        }
    }
    panic!("{selector} is not reached by Tab");
}

#[test]
fn a_command_is_sent_by_keyboard_alone_and_its_end_is_seen_without_a_reload() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let [agent, _] = stack.example.agents;
        let window = Window::open(&url).await;
        window.sign_in(Who::Support).await;
        window.go(OPERATIONS).await;
        window.until("the script", "return document.readyState === 'complete'").await;
        window.type_keys("n").await;
        window.until("the form", "return location.pathname.endsWith('/new')").await;
        tab_to(&window, "input[value=HEALTH_CHECK]").await;
        window.type_keys(Key::Down + Key::Down).await;
        tab_to(&window, "main button[type=submit]").await;
        window.type_keys(Key::Enter).await;
        window.until("the customers", "return document.querySelector('input[name=tenant_id]') !== null").await;
        let tenant = stack.example.tenant;
        window
            .go(&format!("{OPERATIONS}/new?command_type=RESTART_AGENT&tenant_id={tenant}&agent_id={agent}"))
            .await;
        tab_to(&window, "textarea").await;
        window.type_keys("It answers nobody.").await;
        tab_to(&window, "main button[type=submit]").await;
        window.type_keys(Key::Enter).await;
        window.until("the preview", "return document.querySelector('.preview') !== null").await;
        for (width, scheme) in
            [(320, Scheme::Light), (320, Scheme::Dark), (1280, Scheme::Light), (1280, Scheme::Dark)]
        {
            window.look(width, scheme).await;
            window.picture(&format!("command_preview_{width}_{scheme:?}")).await;
            assert_eq!((window.violations().await, window.overflow().await), (Vec::<String>::new(), 0));
        }
        tab_to(&window, "button.danger").await;
        window.type_keys(Key::Enter).await;
        window.until("the command", "return document.querySelector('.chip.pending') !== null").await;
        window.run("window.neverReloaded = true").await;
        stack.work::<RestartAgent>();
        window
            .until(
                "its end",
                "return window.neverReloaded === true && document.querySelector('.chip.success') !== null",
            )
            .await;
        let said = window.run("return document.getElementById('announcer').textContent").await;
        assert_eq!(said, "Reiniciar agente: Sucesso");
    });
}

#[test]
fn what_another_process_accepts_appears_in_an_open_console_and_not_in_one_that_is_paused() {
    with_stack(|stack| async move {
        let (own, other) = (stack.serve().await, stack.serve().await);
        stack.work::<HealthCheck>();
        let window = Window::open(&own.url).await;
        window.sign_in(Who::Admin).await;
        window.go(OPERATIONS).await;
        window.until("an empty list", "return document.querySelector('#live .empty') !== null").await;
        let accepted = other.post(&json!({"command_type": "HEALTH_CHECK"})).await;
        let id = accepted.body["command_id"].as_str().unwrap().to_owned();
        let shown = format!("return document.querySelector('tr[data-key=\"{id}\"] .chip.success') !== null");
        window.until("the command, and its end", &shown).await;
        // From now on new ones are told, and not pushed under the reader.
        other.post(&json!({"command_type": "HEALTH_CHECK"})).await;
        window.until("the news", "return document.querySelector('.news') !== null").await;
        assert_eq!(window.run("return document.querySelectorAll('#live tr[data-key^=\"01\"]').length").await, 1);
        window.find(".news").await.click().await.unwrap();
        window.until("both", "return document.querySelectorAll('#live tr[data-key^=\"01\"]').length === 2").await;
        window.find("[data-pause]").await.click().await.unwrap();
        let asked =
            "return performance.getEntriesByType('resource').filter(one => one.name.includes('fragment')).length";
        let before = window.run(asked).await;
        other.post(&json!({"command_type": "HEALTH_CHECK"})).await;
        // Longer than two looks take.
        eventually("the third to have ended", Duration::from_secs(60), || async {
            let listed = other.get(COMMANDS).await.body;
            (listed["total"] == 3 && !listed.to_string().contains("PENDING")).then_some(())
        })
        .await;
        window.run("return 0").await;
        assert_eq!(window.run(asked).await, before, "a paused page asks nothing");
        window.find("[data-pause]").await.click().await.unwrap();
        window.until("the news again", "return document.querySelector('.news') !== null").await;
    });
}

#[test]
fn the_palette_leads_to_pages_to_customers_and_to_a_command() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let command = stack.send::<Health>(None, json!({})).await.id();
        let window = Window::open(&url).await;
        window.sign_in(Who::Support).await;
        let ways = [
            ("audit", "/app/company/audit".to_owned()),
            ("padaria", format!("/app/company/tenants/{}", stack.example.tenant)),
            (&*command.to_string(), format!("{OPERATIONS}/{command}")),
        ];
        for (typed, wanted) in ways {
            window.go(OPERATIONS).await;
            window.until("the script", "return document.readyState === 'complete'").await;
            window.type_keys(Key::Control + "k").await;
            window.until("the palette", "return document.querySelector('dialog.palette[open]') !== null").await;
            window.type_keys(typed).await;
            let offered = "const options = document.querySelectorAll('.palette [role=option]');
                           return options.length > 0 && options.length < 4";
            window.until(&format!("what {typed} finds"), offered).await;
            window.type_keys(Key::Enter).await;
            window.until(&wanted, &format!("return location.pathname === '{wanted}'")).await;
        }
    });
}

#[test]
fn what_is_refreshed_is_computed_anew() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let window = Window::open(&url).await;
        window.sign_in(Who::Admin).await;
        window.go("/app/company/tenants").await;
        sqlx::query("UPDATE tenants SET name = 'Renamed beside the log' WHERE id = $1")
            .bind(stack.example.tenant.uuid())
            .execute(&stack.stores.db.service())
            .await
            .unwrap();
        let shown = "return document.body.textContent.includes('Renamed beside the log')";
        window.go("/app/company/tenants").await;
        assert_eq!(window.run(shown).await, false, "what is kept is shown");
        window.find("[data-reload]").await.click().await.unwrap();
        window.until("what has changed", shown).await;
    });
}

#[test]
fn without_scripts_a_command_is_sent_and_its_end_is_seen_by_reloading() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let [agent, _] = stack.example.agents;
        let tenant = stack.example.tenant;
        let window = Window::open(&url).await;
        window.switch_scripts_off().await;
        window.sign_in(Who::Support).await;
        window.go(OPERATIONS).await;
        assert_eq!(window.run("return document.querySelector('[data-pause]').hidden").await, true, "no script ran");
        window.find("a[data-new]").await.click().await.unwrap();
        window.find("input[value=RESTART_AGENT]").await.click().await.unwrap();
        window.find("main button[type=submit]").await.click().await.unwrap();
        window.find(&format!("input[value='{tenant}']")).await.click().await.unwrap();
        window.find("main form:last-of-type button[type=submit]").await.click().await.unwrap();
        window.find(&format!("option[value='{agent}']")).await.click().await.unwrap();
        window.find("textarea").await.send_keys("It answers nobody.").await.unwrap();
        window.find("main button[type=submit]").await.click().await.unwrap();
        window.find("button.danger").await.click().await.unwrap();
        window.find(".chip.pending").await;
        let page = window.run("return location.pathname").await.as_str().unwrap().to_owned();
        stack.work::<RestartAgent>();
        eventually("its end", Duration::from_secs(60), || async {
            window.go(&page).await;
            (window.run("return document.querySelector('.chip.success') !== null").await == true).then_some(())
        })
        .await;
        // Filters are forms, and files are links.
        window.go(OPERATIONS).await;
        window.find("option[value=SUCCESS]").await.click().await.unwrap();
        window.find(".filter > button[type=submit]").await.click().await.unwrap();
        window.until("the filter in the address", "return location.search.includes('status=SUCCESS')").await;
        assert_eq!(window.run("return document.querySelectorAll('#live tbody tr').length").await, 1);
    });
}

#[test]
fn what_is_missing_or_forbidden_can_be_read_by_everybody() {
    with_stack(|stack| async move {
        let cut_off = stack.vars.clone().overridden_by([
            ("PAINEL_DATABASE_URL", "postgres://painel@127.0.0.1:9/painel".to_owned()),
            ("PAINEL_DATABASE_TIMEOUT_MS", "300".to_owned()),
        ]);
        let url = stack.serve_with(&cut_off).await.url;
        let mut wrong = Vec::new();
        let window = Window::open(&url).await;
        window.sign_in(Who::Support).await;
        for (name, path) in [
            ("away_company", "/app/company"),
            ("away_tenants", "/app/company/tenants"),
            ("away_operations", OPERATIONS),
            ("support_forbidden", "/app/company/billing"),
        ] {
            wrong.extend(look_at(&window, name, path).await);
        }
        // Whose user somebody is cannot be known meanwhile: they are told to come again, and let in nowhere.
        let window = Window::open(&url).await;
        window.go("/app").await;
        window.find("input[value=tenant]").await.click().await.unwrap();
        window.find("button[type=submit]").await.click().await.unwrap();
        window.until("to be told", "return document.title.startsWith('Serviço indisponível')").await;
        window.picture("own_away").await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_page_that_is_hidden_asks_nothing() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let window = Window::open(&url).await;
        window.sign_in(Who::Admin).await;
        window.go(OPERATIONS).await;
        let asked =
            "return performance.getEntriesByType('resource').filter(one => one.name.includes('fragment')).length";
        window.until("a look", &format!("{asked} > 0")).await;
        // As a browser does with a page that another one covers.
        window
            .run(
                "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});
                    document.dispatchEvent(new Event('visibilitychange')); window.looked = performance.now()",
            )
            .await;
        let before = window.run(asked).await;
        window.until("longer than two looks take", "return performance.now() - window.looked > 5000").await;
        let after = window.run(asked).await.as_i64().unwrap();
        assert!(after <= before.as_i64().unwrap() + 1, "but for one that was under way");
        window
            .run(
                "Object.defineProperty(document, 'hidden', {get: () => false, configurable: true});
                    document.dispatchEvent(new Event('visibilitychange'))",
            )
            .await;
        window.until("a look again", &format!("{asked} > {after}")).await;
    });
}

#[test]
fn pages_that_hold_nothing_yet_say_so_to_everybody() {
    with_stack(|stack| async move {
        // As on the first day: one customer, and nothing that was done.
        sqlx::raw_sql(
            "TRUNCATE agent_requests, tenant_usage_daily, tenant_usage_totals, agent_usage_totals, platform_usage_daily,
                 subscription_events, incident_tenants, incidents, tickets, ticket_messages, ticket_keys;
             DELETE FROM tenant_integrations; DELETE FROM tenant_agents; DELETE FROM agents",
        )
        .execute(&stack.stores.db.service())
        .await
        .unwrap();
        let url = stack.serve().await.url;
        let mut wrong = Vec::new();
        let window = Window::open(&url).await;
        // Support, whose pages stand without money.
        window.sign_in(Who::Support).await;
        for (name, path) in [
            ("company", "/app/company".to_owned()),
            ("catalogue", "/app/company/agents".to_owned()),
            ("connections", "/app/company/integrations".to_owned()),
            ("operations", OPERATIONS.to_owned()),
            ("tickets", "/app/company/tickets".to_owned()),
            ("dead", format!("{OPERATIONS}/dead?queue_name=painel.reset-token")),
            ("tenant", format!("/app/company/tenants/{}", stack.example.tenant)),
        ] {
            wrong.extend(look_at(&window, &format!("empty_{name}"), &path).await);
        }
        let window = Window::open(&url).await;
        window.sign_in(Who::Of(stack.example.tenant)).await;
        for name in ["", "/agents", "/fibonacci", "/integrations", "/usage", "/support"] {
            let called = format!("empty_own{}", name.replace('/', "_"));
            wrong.extend(look_at(&window, &called, &format!("/app/dashboard{name}")).await);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
