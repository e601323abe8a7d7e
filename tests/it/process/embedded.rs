//! What the embedded default owes to whoever runs it: their data, room on their disk, and nobody else in their folder.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use painel::services::{
    ANYWHERE,
    dynamodb::DynamoDb,
    postgres::{Postgres, checkpoint},
};
use painel_shared::{
    config::{DatabaseConfig, Vars},
    db::Database,
};
use painel_tests::{
    client::COMMANDS,
    program::{self, Program},
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
        DynamoDb::start(Some(&file), ANYWHERE).await.unwrap().stop().await.unwrap();
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
        let dynamodb = DynamoDb::start(Some(&file), ANYWHERE).await.unwrap();
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
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        interrupt(&program);
        assert!(program.ended(Duration::from_secs(10)).await.success(), "{}", program.printed());
    });
}
