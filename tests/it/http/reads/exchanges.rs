//! What a read costs PostgreSQL: one exchange, where its question can be asked in one message.

use painel::services::issuer::Role;
use painel_tests::{exchanges::Exchanges, stack::with_stack};
use reqwest::Method;

use super::reads;

#[test]
fn a_read_is_one_exchange() {
    with_stack(|stack| async move {
        let (exchanges, url) = Exchanges::before(&stack.vars).await;
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", url)]);
        let client = stack.serve_with(&vars).await;
        let tenant = stack.example.tenant;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(tenant)).unwrap()));
        for path in reads(tenant) {
            let asker = if path.starts_with("/tenant/") { &own } else { &client };
            let mut least = u64::MAX;
            // A session may be new, its statement not yet prepared, and what is recorded is followed meanwhile.
            for _ in 0..20 {
                let before = exchanges.count();
                let fresh = asker.request(Method::GET, &path).header("Cache-Control", "no-cache");
                let answer = asker.send(fresh).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                least = least.min(exchanges.count() - before);
            }
            let expected = match path.as_str() {
                // Nothing of a tenant is on the page.
                "/internal/operations/commands" | "/internal/operations/queues" => 0,
                // What tenants do not see is asked apart.
                path if path == format!("/internal/tenants/{tenant}") => 2,
                _ => 1,
            };
            let texts = exchanges.take_texts();
            assert_eq!(least, expected, "{path}: {:?}", texts.last());
        }
    });
}
