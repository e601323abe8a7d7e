//! What the embedded default owes to whoever runs it: their data, room on their disk, and nobody else in their folder.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use painel::data_dir::DataDir;
use painel::services::{
    ANYWHERE,
    dynamodb::DynamoDb,
    postgres::{Postgres, checkpoint},
    signed::AccessKey,
    sqs::Sqs,
};
use painel_shared::{
    command_store::CommandStore,
    config::{AwsConfig, CommandStoreConfig, DatabaseConfig, QueueConfig, Vars},
    db::Database,
    queue::Queue,
};
use painel_tests::{
    client::COMMANDS,
    program::{self, Program},
    stack::access_key,
    wait::eventually,
};

use super::{interrupt, run};

/// How many bytes the folders of that name hold, anywhere below.
fn held(below: &Path, name: &str) -> u64 {
    let entries = std::fs::read_dir(below).unwrap().map(Result::unwrap);
    let of = |entry: std::fs::DirEntry| match (entry.file_type().unwrap().is_dir(), entry.file_name() == name) {
        (true, true) => {
            std::fs::read_dir(entry.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
        }
        (true, false) => held(&entry.path(), name),
        (false, _) => 0,
    };
    entries.map(of).sum()
}

#[test]
fn the_log_of_the_embedded_postgresql_stays_small() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let postgres = Postgres::start(&folder.path().join("postgres")).await.unwrap();
        let set = [("PAINEL_DATABASE_URL", postgres.url()), ("PAINEL_DATABASE_POOL", "1".to_owned())];
        let vars =
            Vars::default().overridden_by(set).overridden_by([("PAINEL_DATABASE_TIMEOUT_MS", "60000".to_owned())]);
        let db = Database::new(&DatabaseConfig::from_vars(&vars).unwrap()).unwrap();
        let pool = db.service();
        sqlx::raw_sql("CREATE TABLE filling (text text)").execute(&pool).await.unwrap();
        let mut most = 0;
        for _ in 0..8 {
            let fill = "INSERT INTO filling SELECT repeat(md5(n::text), 8) FROM generate_series(1, 100000) AS n";
            sqlx::query(fill).execute(&pool).await.unwrap();
            checkpoint(&db).await.unwrap();
            most = most.max(held(folder.path(), "pg_wal"));
        }
        // The eight together write three times as much.
        assert!(most < 128 << 20, "the log holds {most} bytes");
        db.close().await;
        drop(pool);
        postgres.stop().await.unwrap();
    });
}

#[test]
fn the_stream_of_the_embedded_dynamodb_is_looked_up_by_an_index_and_forgets_what_is_old() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dynamodb.db");
        DynamoDb::start(Some(&file), ANYWHERE, &access_key()).await.unwrap().stop().await.unwrap();
        let sqlite = rusqlite::Connection::open(&file).unwrap();
        // One is a minute less than a day old, and more are a minute more than are removed at once.
        for (age, count) in [(86_460, 2_500), (86_340, 1)] {
            let sql = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
                 INSERT INTO _stream_records (table_name, event_name, keys_json, sequence_number, shard_id, created_at)
                 SELECT 't', 'INSERT', '{{}}', '{age}', 's', unixepoch() - {age} FROM n"
            );
            sqlite.execute(&sql, []).unwrap();
        }
        let dynamodb = DynamoDb::start(Some(&file), ANYWHERE, &access_key()).await.unwrap();
        let kept = || {
            let ages = "SELECT group_concat(sequence_number) FROM _stream_records";
            sqlite.query_row(ages, [], |row| row.get::<_, String>(0)).unwrap()
        };
        eventually("the old ones to go", Duration::from_secs(60), || async { (kept() == "86340").then_some(()) })
            .await;
        // What each write asks.
        let asked = "EXPLAIN QUERY PLAN SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1
                     FROM _stream_records WHERE table_name = 't'";
        let plan: String = sqlite.query_row(asked, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("painel_stream_sequence"), "{plan}");
        dynamodb.stop().await.unwrap();
    });
}

#[test]
fn tokens_are_of_the_use_that_is_taken_and_the_folder_is_closed_to_others() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let uses_id = [("PAINEL_AUTH_TOKEN_USE", "id")];
        let mut program = Program::start(&data, folder.path().join("out"), &uses_id);
        let client = program.client(&data).await;
        assert_eq!(client.get(COMMANDS).await.status, 401, "an access token is not taken");
        let printed = program.printed();
        for (role, status) in [("admin", 200), ("support", 200), ("tenant", 403)] {
            let line = printed.lines().find_map(|line| line.trim().strip_prefix(role)).unwrap();
            let asked = client.with_token(Some(line.trim().to_owned()));
            assert_eq!(asked.get(COMMANDS).await.status, status, "{role}");
            let made = program::command(&data, &["token", "--role", role]).envs(uses_id).output().unwrap();
            let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
            assert_eq!(client.with_token(Some(token)).get(COMMANDS).await.status, status, "painel token {role}");
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        let entries = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        for file in entries.filter(|path| path.is_file()) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        interrupt(&program);
        assert!(program.ended(Duration::from_secs(10)).await.success(), "{}", program.printed());
    });
}

#[test]
fn the_data_folder_is_closed_to_others_or_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, mode| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let empty = made("empty", 0o777);
    drop(DataDir::open(&empty).unwrap());
    assert_eq!(mode(&empty), 0o700, "one that is empty becomes its owner's alone");
    let earlier = made("earlier", 0o755);
    for name in ["issuer.pem", "dynamodb.sqlite"] {
        std::fs::write(earlier.join(name), "").unwrap();
        std::fs::set_permissions(earlier.join(name), Permissions::from_mode(0o644)).unwrap();
    }
    drop(DataDir::open(&earlier).unwrap());
    assert_eq!(
        (mode(&earlier), mode(&earlier.join("dynamodb.sqlite"))),
        (0o700, 0o600),
        "one of an earlier build, too"
    );
    let shared = made("shared", 0o777);
    std::fs::write(shared.join("somebody's"), "").unwrap();
    let refused = DataDir::open(&shared).unwrap_err().to_string();
    assert!(refused.contains("chmod go-w"), "{refused}");
    assert_eq!(mode(&shared), 0o777, "what holds something else is left as it is");
}

#[test]
fn the_embedded_services_answer_nobody_but_this_process() {
    run(async {
        let (key, wrong) = (access_key(), AccessKey { secret: "guessed".to_owned(), ..access_key() });
        let dynamodb = DynamoDb::start(None, ANYWHERE, &key).await.unwrap();
        let sqs = Sqs::start(ANYWHERE, &key).await.unwrap();
        let http = reqwest::Client::new();
        for (url, target) in [(dynamodb.url(), "DynamoDB_20120810.ListTables"), (sqs.url(), "AmazonSQS.ListQueues")]
        {
            let asked = || {
                let request = http.post(&url).header("X-Amz-Target", target);
                request.header("Content-Type", "application/x-amz-json-1.0").body("{}")
            };
            let unsigned = asked();
            let made_up = asked().header("X-Amz-Date", "20260101T000000Z").header(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00",
            );
            let of_a_page = asked().header("Origin", "https://evil.example");
            let preflight = http
                .request(reqwest::Method::OPTIONS, &url)
                .header("Origin", "https://evil.example")
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "authorization,x-amz-target");
            let rebound = asked().header("Origin", url.clone());
            for (what, request) in [
                ("without a signature", unsigned),
                ("with a signature that was made up", made_up),
                ("by a page", of_a_page),
                ("by a page that asks first", preflight),
                ("by a page of its own origin", rebound),
            ] {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 403, "{target} {what}");
                assert!(!answer.headers().contains_key("access-control-allow-origin"), "{target} {what}");
            }
        }
        for (key, works) in [(&key, true), (&wrong, false)] {
            let set = [
                ("PAINEL_DYNAMODB_ENDPOINT", dynamodb.url()),
                ("PAINEL_SQS_ENDPOINT", sqs.url()),
                ("PAINEL_AWS_REGION", "us-east-1".to_owned()),
                ("PAINEL_AWS_ACCESS_KEY_ID", key.id.clone()),
                ("PAINEL_AWS_SECRET_ACCESS_KEY", key.secret.clone()),
            ];
            let vars = Vars::default().overridden_by(set);
            let aws = AwsConfig::from_vars(&vars).unwrap();
            let store = CommandStore::new(&aws, &CommandStoreConfig::from_vars(&vars).unwrap()).await;
            let queue = Queue::new(&aws, &QueueConfig::from_vars(&vars).unwrap()).await;
            assert_eq!(store.migrate().await.is_ok(), works, "DynamoDB");
            assert_eq!(queue.migrate().await.is_ok(), works, "SQS");
        }
        sqs.stop().await;
        dynamodb.stop().await.unwrap();
    });
}
