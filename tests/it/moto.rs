//! The product against moto: what another project makes of DynamoDB, SQS and Cognito.

use std::time::Duration;

use painel_shared::{
    command_store::TableState,
    commands::{self, CommandType},
    stores::Stores,
};
use painel_tests::{
    client::{COMMANDS, Client},
    moto::{INTERNAL_ADMIN, Moto, TENANT_USER, User, UserPool},
    stack::{Stack, with_stack_and},
    wait::eventually,
};
use painel_workers::commands::{HealthCheck, ReprocessQueue, ResetToken, RestartAgent};
use serde_json::{Value, json};
use uuid::Uuid;

/// A stack whose DynamoDB and SQS are moto's, whatever transport the run asks for.
fn on(moto: &Moto) -> [(&str, &str); 4] {
    [
        ("PAINEL_DYNAMODB_ENDPOINT", moto.url()),
        ("PAINEL_SQS_ENDPOINT", moto.url()),
        ("PAINEL_QUEUE", "sqs"),
        // How quick moto is, is not the question.
        ("PAINEL_DYNAMODB_TIMEOUT_MS", "10000"),
    ]
}

fn restart(stack: &Stack) -> Value {
    let [agent, _] = stack.example.agents;
    json!({"command_type": "RESTART_AGENT", "tenant_id": stack.example.tenant, "parameters": {"agent_id": agent}})
}

fn ids(list: &Value) -> Vec<&str> {
    list["commands"].as_array().unwrap().iter().map(|command| command["command_id"].as_str().unwrap()).collect()
}

#[test]
fn table_and_queues_are_made_and_then_match() {
    let moto = Moto::start();
    with_stack_and(&on(&moto), |stack| async move {
        let vars = stack.vars.clone().overridden_by([
            ("PAINEL_DYNAMODB_TABLE", "another".to_owned()),
            ("PAINEL_QUEUE_PREFIX", "another".to_owned()),
        ]);
        let another = Stores::from_vars(&vars).await.unwrap();
        for expected in [TableState::Created, TableState::Matches] {
            assert_eq!(another.commands.migrate().await.unwrap(), expected);
            another.queue.migrate().await.unwrap();
        }
        assert_eq!(stack.stores.commands.migrate().await.unwrap(), TableState::Matches);
        stack.stores.queue.migrate().await.unwrap();
    });
}

#[test]
fn commands_succeed_and_are_replayed_and_listed() {
    let moto = Moto::start();
    with_stack_and(&on(&moto), |stack| async move {
        stack.work::<HealthCheck>();
        stack.work::<ResetToken>();
        stack.work::<RestartAgent>();
        stack.reconcile();
        let client = stack.serve().await;
        let reset = json!({
            "command_type": "RESET_TOKEN",
            "tenant_id": stack.example.tenant,
            "parameters": {"integration_id": stack.example.integration},
        });
        let mut made = Vec::new();
        for body in [json!({"command_type": "HEALTH_CHECK"}), reset, restart(stack)] {
            let key = format!("key-{}", made.len());
            let answer = client.post_once(&body, &key).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
            let id = answer.body["command_id"].as_str().unwrap().to_owned();
            let command = client.until(&id, "SUCCESS").await;
            assert_eq!((&command["command_type"], &command["attempt"]), (&body["command_type"], &json!(1)));
            let again = client.post_once(&body, &key).await;
            assert_eq!(again.headers["idempotency-replayed"], "true");
            assert_eq!(again.body["command_id"], id);
            made.insert(0, id);
        }
        assert_eq!((stack.rotations().await, stack.restarts().len()), (1, 1));

        // Another replica remembers none of them: what it lists, it has from the indexes.
        let other = stack.serve().await;
        let list = |query: String| {
            let other = other.clone();
            async move { other.get(&format!("{COMMANDS}?{query}")).await.body }
        };
        let whole = list("status=SUCCESS".to_owned()).await;
        assert_eq!(ids(&whole), made);
        assert_eq!(whole["total"], 3);
        let first = list("status=SUCCESS&limit=2".to_owned()).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = list(format!("status=SUCCESS&limit=2&cursor={cursor}")).await;
        assert_eq!([ids(&first), ids(&second)].concat(), made);
        let tenant = stack.example.tenant;
        let narrow = list(format!("status=SUCCESS&command_type=RESET_TOKEN&tenant_id={tenant}")).await;
        assert_eq!(ids(&narrow), made[1..2]);
        assert!(ids(&list("status=PENDING".to_owned()).await).is_empty());
    });
}

#[test]
fn retries_are_used_up_and_the_dead_letter_is_reprocessed() {
    let moto = Moto::start();
    with_stack_and(&on(&moto), |stack| async move {
        stack.refuse_restarts(5).await;
        stack.work::<RestartAgent>();
        stack.work::<ReprocessQueue>();
        stack.reconcile();
        let client = stack.serve().await;
        let id = client.accepted(&restart(stack)).await;
        let dead = client.until(&id, "ERROR").await;
        assert_eq!((&dead["attempt"], &dead["error"]["code"]), (&json!(5), &json!("agent_runtime_unavailable")));

        let queue = CommandType::of::<commands::RestartAgent>().queue();
        let body = json!({"command_type": "REPROCESS_QUEUE", "parameters": {"queue_name": queue.name()}});
        let reprocess = client.accepted(&body).await;
        client.until(&reprocess, "SUCCESS").await;
        // moto changes an item one attribute after the other, and shows it meanwhile.
        let moved = eventually("the result", Duration::from_secs(60), || async {
            Some(client.command(&reprocess).await["result"]["moved"].clone()).filter(|moved| !moved.is_null())
        });
        assert_eq!(moved.await, 1);
        assert_eq!(client.until(&id, "SUCCESS").await["attempt"], 1);
        assert_eq!(stack.restarts().len(), 1);
        assert_eq!(stack.stores.queue.depth(queue).await.unwrap().dead, 0);
    });
}

/// The API for tokens of that use. The other pool's client is known too, so that only the issuer tells its
/// tokens from the pool's own: moto signs all of them with one key.
async fn serve(stack: &Stack, pool: &UserPool, other: &UserPool, token_use: &str) -> Client {
    let vars = stack.vars.clone().overridden_by([
        ("PAINEL_AUTH_ISSUER", pool.issuer()),
        ("PAINEL_AUTH_JWKS_URL", pool.jwks_url()),
        ("PAINEL_AUTH_CLIENT_IDS", format!("{},{}", pool.client_id(), other.client_id())),
        ("PAINEL_AUTH_TOKEN_USE", token_use.to_owned()),
    ]);
    stack.serve_with(&vars).await
}

/// Makes the user one of the example tenant's.
async fn enlist(stack: &Stack, user: &User) {
    sqlx::query(
        "INSERT INTO tenant_users (id, tenant_id, cognito_sub, email, full_name, role)
         VALUES ($1, $2, $3, $4, 'Ana', 'user')",
    )
    .bind(Uuid::new_v4())
    .bind(stack.example.tenant.uuid())
    .bind(&user.sub)
    .bind(&user.email)
    .execute(&stack.stores.db.service())
    .await
    .unwrap();
}

/// Asks with tokens of both uses, where those of `token_use` are taken. A user without a row of their own is
/// answered `claimed`: their tenant is an attribute of theirs in the pool alone.
async fn ask_with_every_token(stack: &Stack, moto: &Moto, token_use: &str, claimed: u16) {
    let (pool, other) = (moto.user_pool().await, moto.user_pool().await);
    let tenant = stack.example.tenant;
    let admin = pool.user("admin@painel.example", INTERNAL_ADMIN, None).await;
    let member = pool.user("member@padaria.example", TENANT_USER, None).await;
    enlist(stack, &member).await;
    let claiming = pool.user("claiming@padaria.example", TENANT_USER, Some(tenant)).await;
    let foreign = other.user("admin@painel.example", INTERNAL_ADMIN, None).await;
    let elsewhere = pool.with_another_client().await;
    let client = serve(stack, &pool, &other, token_use).await;
    // What the list of commands and the tenant's page answer; an operator must say which tenant is meant.
    let table = [
        ("an administrator", pool.tokens(&admin).await, [200, 400]),
        ("a member of the tenant", pool.tokens(&member).await, [403, 200]),
        ("a user with the tenant as an attribute", pool.tokens(&claiming).await, [403, claimed]),
        ("another pool's administrator", other.tokens(&foreign).await, [401, 401]),
        ("an administrator at another app client", elsewhere.tokens(&admin).await, [401, 401]),
    ];
    for (who, tokens, expected) in table {
        let (taken, refused) = match token_use {
            "id" => (tokens.id, tokens.access),
            _ => (tokens.access, tokens.id),
        };
        for (token, expected) in [(taken, expected), (refused, [401, 401])] {
            let asked = client.with_token(Some(token));
            let (commands, me) = (asked.get(COMMANDS).await, asked.get("/tenant/me").await);
            let statuses = [commands.status.as_u16(), me.status.as_u16()];
            assert_eq!(statuses, expected, "{who}: {} {}", commands.body, me.body);
            if me.status == 200 {
                assert_eq!(me.body["id"], tenant.to_string(), "{who}");
            }
        }
    }
}

#[test]
fn access_tokens_are_taken_for_who_they_are_and_id_tokens_are_not() {
    let moto = &Moto::start();
    // Access tokens bear no attributes.
    with_stack_and(&on(moto), |stack| ask_with_every_token(stack, moto, "access", 403));
}

#[test]
fn id_tokens_are_taken_for_who_they_are_and_access_tokens_are_not() {
    let moto = &Moto::start();
    with_stack_and(&on(moto), |stack| ask_with_every_token(stack, moto, "id", 200));
}

#[test]
fn a_command_is_recorded_under_the_name_that_the_pool_gives_its_sender() {
    let moto = &Moto::start();
    with_stack_and(&on(moto), |stack| async move {
        let (pool, other) = (moto.user_pool().await, moto.user_pool().await);
        let admin = pool.user("admin@painel.example", INTERNAL_ADMIN, None).await;
        let client = serve(stack, &pool, &other, "id").await.with_token(Some(pool.tokens(&admin).await.id));
        let id = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let command = client.command(&id).await;
        assert_eq!(command["created_by"], admin.sub);
        assert_eq!(command["created_by_email"], admin.email);
    });
}
