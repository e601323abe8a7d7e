//! The program `painel` as a newcomer runs it, and the processes of a deployment.

mod embedded;
mod encrypted;
mod fleet;
mod hosts;
mod replicas;
mod rollup;
mod storm;

use std::{process::Command, time::Duration};

use painel::demo_data::first_tenant;
use painel_shared::{command::PUBLISH_PATIENCE, time::Timestamp};
use painel_tests::{
    client::{COMMANDS, Client},
    program::{self, Program},
    wait::eventually,
};
use serde_json::{Value, json};

fn run(test: impl Future<Output = ()>) {
    painel_shared::process::install_tls();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
}

fn interrupt(program: &Program) {
    let sent = Command::new("kill").args(["-INT", &program.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The ids of the example's agents and integration, as the printed lines and the first answers tell them.
fn printed_agent(printed: &str) -> String {
    let (_, rest) = printed.split_once(r#""agent_id":""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// All commands but those that a first start sends by itself.
async fn all_commands(client: &Client) -> Vec<Value> {
    let list = client.get(&format!("{COMMANDS}?limit=100")).await.body;
    let all = list["commands"].as_array().unwrap().iter();
    all.filter(|command| command["created_by_email"] != "suporte@painel.example").cloned().collect()
}

#[test]
fn what_it_prints_works_and_ctrl_c_ends_it_and_a_second_start_says_so() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut program = Program::start(&data, folder.path().join("out"), &[]);
        let client = program.client(&data).await;
        let printed = program.printed();

        // The three lines, word by word, in a shell.
        let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with("curl ")).collect();
        assert_eq!(lines.len(), 3, "{printed}");
        for line in &lines {
            let output = Command::new("sh").args(["-c", line]).output().unwrap();
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(answer.get("command_id").is_some() || answer["commands"].is_array(), "{line}: {answer}");
        }
        let commands = eventually("both commands to succeed", Duration::from_secs(20), || async {
            let all = all_commands(&client).await;
            all.iter().all(|command| command["status"] == "SUCCESS").then_some(all)
        })
        .await;
        assert_eq!(commands.len(), 2);

        // Each printed token is taken for what it is.
        for (role, status) in [("admin", 200), ("support", 200), ("tenant", 403)] {
            let line = printed.lines().find_map(|line| line.trim().strip_prefix(role)).unwrap();
            let asked = client.with_token(Some(line.trim().to_owned()));
            assert_eq!(asked.get(COMMANDS).await.status, status, "{role}");
            let made = program::command(&data, &["token", "--role", role]).output().unwrap();
            let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
            assert_eq!(client.with_token(Some(token)).get(COMMANDS).await.status, status, "painel token {role}");
        }

        let second = program::command(&data, &[]).output().unwrap();
        let said = String::from_utf8(second.stderr).unwrap();
        assert!(!second.status.success());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("another painel is running on the data folder"), "{said}");

        interrupt(&program);
        assert!(program.ended(Duration::from_secs(10)).await.success(), "{}", program.printed());
        assert!(program.printed().ends_with("Stopped.\n"), "{}", program.printed());
    });
}

#[test]
fn a_health_check_ends_by_its_own_job_at_the_first_attempt() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut program = Program::start(&data, folder.path().join("out"), &[]);
        let client = program.client(&data).await;
        for _ in 0..15 {
            let id = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
            let command = client.until(&id, "SUCCESS").await;
            let at = |name: &str| command[name].as_str().unwrap().parse::<Timestamp>().unwrap();
            assert_eq!(command["attempt"], 1);
            // Later than this it would have been the reconciler's doing.
            let took = (at("completed_at") - at("created_at")).to_std().unwrap();
            assert!(took < PUBLISH_PATIENCE, "{took:?}");
        }
    });
}

#[test]
fn what_a_kill_interrupts_is_done_after_the_next_start_once() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // Short leases, so that what was RUNNING is taken up soon.
        let set = [("PAINEL_LEASE_SECONDS", "3"), ("PAINEL_QUEUE_VISIBILITY_SECONDS", "3")];
        let mut program = Program::start(&data, folder.path().join("out"), &set);
        let client = program.client(&data).await;
        let agent = printed_agent(&program.printed());
        let tenant = first_tenant();
        let body = json!({"command_type": "RESTART_AGENT", "tenant_id": tenant, "parameters": {"agent_id": agent}});
        let mut sent = Vec::new();
        for n in 0..60 {
            let body = if n % 3 == 0 { json!({"command_type": "HEALTH_CHECK"}) } else { body.clone() };
            sent.push(client.accepted(&body).await);
        }
        let unfinished = all_commands(&client).await.iter().filter(|one| one["completed_at"].is_null()).count();
        program.kill();
        assert!(unfinished > 0, "the kill must come in the middle of things");

        let mut program = Program::start(&data, folder.path().join("again"), &set);
        let client = program.client(&data).await;
        assert!(program.printed().contains("was found"));
        let ended = eventually("every command to end", Duration::from_secs(60), || async {
            let all = all_commands(&client).await;
            (all.len() == 60 && all.iter().all(|command| !command["completed_at"].is_null())).then_some(all)
        })
        .await;
        assert!(ended.iter().all(|command| command["status"] == "SUCCESS"), "{ended:?}");
        for id in &sent {
            let events = client.command(id).await["events"].clone();
            let succeeded =
                events.as_array().unwrap().iter().filter(|one| one["event_type"] == "command.succeeded").count();
            assert_eq!(succeeded, 1, "{id}: {events}");
        }
        // The runtime's own record: a restart a command, no more and no fewer.
        let record = std::fs::read_to_string(data.join("agent-runtime.jsonl")).unwrap();
        let of_sent = record.lines().filter(|line| sent.iter().any(|id| line.contains(id.as_str())));
        assert_eq!(of_sent.count(), 40);
    });
}

#[test]
fn a_wrong_variable_is_one_line_and_exit_2() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in
            [("PAINEL_HTTP_ADDR", "8080"), ("PAINEL_LOG_FORMAT", "xml"), ("PAINEL_LEASE_SECONDS", "0")]
        {
            let output = program::command(&folder.path().join("data"), &[]).env(name, value).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.starts_with(&format!("painel: {name} is `{value}`; it must be")), "{said}");
            assert!(!folder.path().join("data").exists(), "nothing was touched");
        }
        let early = program::command(&folder.path().join("none"), &["token", "--role", "admin"]).output().unwrap();
        assert!(String::from_utf8(early.stderr).unwrap().contains("start `painel` first"));
    });
}
