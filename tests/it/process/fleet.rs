//! Each process on its own, on both transports: work is done, a deploy loses and doubles nothing.

use std::time::Duration;

use painel::services::issuer::Role;
use painel_tests::{
    client::{COMMANDS, Client},
    fleet::Fleet,
    port::free_port,
    stack::{RABBITMQ, Stack, access_key, with_stack, with_stack_and},
    wait::eventually,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const WORKERS: [&str; 4] = [
    "painel-health-check-worker",
    "painel-reset-token-worker",
    "painel-restart-agent-worker",
    "painel-reprocess-queue-worker",
];

/// Short leases, so that what a killed worker held is taken up soon.
const SHORT: [(&str, &str); 3] =
    [("PAINEL_LEASE_SECONDS", "3"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "3"), ("PAINEL_QUEUE_TIMEOUT_MS", "2000")];

async fn a_deploy_and_a_kill_in_the_middle_lose_and_double_nothing(stack: &'static Stack) {
    let mut fleet = Fleet::new(stack);
    let migrated = fleet.command("painel").arg("migrate").output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    fleet.start("painel-api");
    fleet.start("painel-scheduler");
    WORKERS.iter().for_each(|worker| fleet.start(worker));
    let client = fleet.client(&stack.issuer).await;

    let [agent, other] = stack.example.agents;
    let restart = |agent| json!({"command_type": "RESTART_AGENT", "tenant_id": stack.example.tenant, "parameters": {"agent_id": agent}});
    let reset = json!({
        "command_type": "RESET_TOKEN",
        "tenant_id": stack.example.tenant,
        "parameters": {"integration_id": stack.example.integration},
    });
    let mut sent = Vec::new();
    for n in 0..60 {
        let body = match n % 4 {
            0 => json!({"command_type": "HEALTH_CHECK"}),
            1 => reset.clone(),
            2 => restart(agent),
            _ => restart(other),
        };
        sent.push(client.accepted(&body).await);
        match n {
            // A deploy: the worker ends by itself, and a new one takes its place.
            20 => {
                fleet.signal("painel-restart-agent-worker", "TERM");
                let ended = fleet.ended("painel-restart-agent-worker", Duration::from_secs(10)).await;
                assert!(ended.iter().all(|status| status.code() == Some(0)), "{ended:?}");
                fleet.start("painel-restart-agent-worker");
            }
            // A crash.
            40 => {
                for worker in ["painel-restart-agent-worker", "painel-reset-token-worker"] {
                    fleet.signal(worker, "KILL");
                    fleet.ended(worker, Duration::from_secs(10)).await;
                    fleet.start(worker);
                }
            }
            _ => {}
        }
    }
    let ended: Vec<Value> = eventually("every command to end", Duration::from_secs(60), || async {
        let list = client.get(&format!("{COMMANDS}?limit=100")).await.body;
        let all = list["commands"].as_array().unwrap().clone();
        all.iter().all(|command| !command["completed_at"].is_null()).then_some(all)
    })
    .await;
    assert_eq!(ended.len(), 60);
    assert!(ended.iter().all(|command| command["status"] == "SUCCESS"), "{ended:?}");
    assert_eq!((stack.rotations().await, stack.restarts().len()), (15, 30));

    for process in WORKERS.iter().chain(&["painel-api", "painel-scheduler"]) {
        fleet.signal(process, "TERM");
        let ended = fleet.ended(process, Duration::from_secs(10)).await;
        assert!(ended.iter().all(|status| status.code() == Some(0)), "{process}: {ended:?}");
    }
}

#[test]
fn a_deploy_and_a_kill_on_sqs() {
    with_stack_and(&SHORT, a_deploy_and_a_kill_in_the_middle_lose_and_double_nothing);
}

#[test]
fn a_deploy_and_a_kill_on_rabbitmq() {
    let set: Vec<(&str, &str)> = SHORT.into_iter().chain([RABBITMQ]).collect();
    with_stack_and(&set, a_deploy_and_a_kill_in_the_middle_lose_and_double_nothing);
}

#[test]
fn a_process_without_its_configuration_says_so_in_one_line() {
    with_stack(|stack| async move {
        let fleet = Fleet::new(stack);
        for (process, variable) in [
            ("painel-api", "PAINEL_AUTH_ISSUER"),
            ("painel-reset-token-worker", "PAINEL_CREDENTIALS_KEYS"),
            ("painel-restart-agent-worker", "PAINEL_AGENT_RUNTIME_URL"),
            ("painel-scheduler", "PAINEL_DATABASE_URL"),
        ] {
            let output = fleet.command(process).env_remove(variable).env("PAINEL_LOG", "error").output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{process}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.starts_with(&format!("{process}: {variable} is not set; it must be")), "{said}");
        }
    });
}

#[test]
fn painel_aws_prints_what_the_processes_need() {
    with_stack(|stack| async move {
        let fleet = Fleet::new(stack);
        let folder = stack.folder.join("aws");
        let out = std::fs::File::create(stack.folder.join("aws.out")).unwrap();
        let mut aws = fleet
            .command("painel")
            .args(["aws", "--dynamodb-port", "0", "--sqs-port", "0", "--stand-ins-port", "0", "--data-dir"])
            .arg(&folder)
            .stdout(out)
            .spawn()
            .unwrap();
        let printed = eventually("the variables", Duration::from_secs(20), || async {
            let text = std::fs::read_to_string(stack.folder.join("aws.out")).unwrap();
            text.contains("# Ctrl-C stops it.").then_some(text)
        })
        .await;
        let mut migrate = fleet.command("painel");
        migrate.arg("migrate").env("PAINEL_QUEUE_PREFIX", "painel");
        for line in printed.lines().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = line.split_once('=').unwrap();
            migrate.env(name, value.trim_matches('\''));
        }
        let migrated = migrate.output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        assert_eq!(String::from_utf8_lossy(&migrated.stdout), "Schema, table and queues are as they must be.\n");
        let stopped = std::process::Command::new("kill").args(["-TERM", &aws.id().to_string()]).status().unwrap();
        assert!(stopped.success() && aws.wait().unwrap().success());
    });
}

#[test]
fn made_up_methods_and_paths_make_no_metrics() {
    with_stack(|stack| async move {
        let mut fleet = Fleet::new(stack);
        let port = free_port();
        fleet.set("PAINEL_ADMIN_ADDR", &format!("127.0.0.1:{port}"));
        fleet.start("painel-api");
        let client = fleet.client(&stack.issuer).await;
        let metrics = async || {
            let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
            answer.text().await.unwrap()
        };
        let ask = async |name: &str| {
            let method = reqwest::Method::from_bytes(name.as_bytes()).unwrap();
            client.send(client.request(method, &format!("/{name}"))).await;
        };
        ask("FIRST").await;
        let before = metrics().await.lines().count();
        for n in 0..200 {
            ask(&format!("MADEUP{n}")).await;
        }
        let after = metrics().await;
        assert!(!after.contains("MADEUP"), "{after}");
        assert!(after.contains("method=\"other\""), "{after}");
        assert_eq!(after.lines().count(), before);
    });
}

#[test]
fn no_log_quotes_what_was_said_in_confidence() {
    with_stack_and(&SHORT, |stack| async move {
        let mut fleet = Fleet::new(stack);
        fleet.set("PAINEL_LOG", "trace");
        fleet.set("RUST_LOG", "trace");
        let processes = ["painel-api", "painel-reset-token-worker", "painel-scheduler"];
        for process in processes {
            fleet.start(process);
        }
        let client = fleet.client(&stack.issuer).await;
        let reason = "because-of-what-nobody-may-read";
        let id = client
            .accepted(&json!({
                "command_type": "RESET_TOKEN", "tenant_id": stack.example.tenant, "reason": reason,
                "parameters": {"integration_id": stack.example.integration},
            }))
            .await;
        let command = client.until(&id, "SUCCESS").await;
        let address = command["created_by_email"].as_str().unwrap();
        let token = stack.issuer.token(Role::Admin, None).unwrap();
        let signature = token.rsplit('.').next().unwrap();
        assert_eq!(client.with_token(Some(token.clone())).get(COMMANDS).await.status, 200);
        let keys = stack.vars.text("PAINEL_CREDENTIALS_KEYS").unwrap().rsplit(':').next().unwrap();
        let key = access_key();
        let all: String = processes.iter().flat_map(|process| fleet.logs(process)).collect();
        assert!(all.contains("\"answered\"") && all.contains(&id), "the logs are those of this test");
        for secret in [reason, address, signature, keys, &key.secret] {
            assert!(!all.contains(secret), "{secret} is in the logs");
        }
    });
}

#[test]
fn whoever_holds_more_connections_than_files_may_be_opened_keeps_nobody_out() {
    with_stack(|stack| async move {
        let mut fleet = Fleet::new(stack);
        let (port, admin) = (free_port(), free_port());
        fleet.set("PAINEL_HTTP_ADDR", &format!("127.0.0.1:{port}"));
        fleet.set("PAINEL_ADMIN_ADDR", &format!("127.0.0.1:{admin}"));
        fleet.set("PAINEL_HTTP_CONNECTIONS_ADDRESS", "10000");
        let plain = fleet.command("painel-api");
        let set = plain.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut limited = std::process::Command::new("sh");
        limited.args(["-c", "ulimit -n 300; exec \"$0\""]).arg(plain.get_program()).env_clear().envs(set);
        limited.stderr(std::process::Stdio::null());
        let mut api = tokio::process::Command::from(limited).kill_on_drop(true).spawn().unwrap();
        let client = Client::new(format!("http://127.0.0.1:{port}"), &stack.issuer);
        eventually("the API", Duration::from_secs(20), || async {
            let asked = client.request(reqwest::Method::GET, "/health/live").send().await;
            asked.ok().map(|answer| assert_eq!(answer.status(), 200))
        })
        .await;
        let mut held = Vec::new();
        for count in 0..400 {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let begun = "POST /internal/operations/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
            let _ = stream.write_all(begun.as_bytes()).await;
            held.push(stream);
            if count % 40 == 39 {
                assert_eq!(client.on_a_new_connection().get("/health/live").await.status, 200, "with {count} held");
                assert_eq!(reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().status(), 200);
            }
        }
        let metrics =
            reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("painel_http_connections_cut_total{reason=\"displaced\"}"), "{metrics}");
        api.kill().await.unwrap();
    });
}
