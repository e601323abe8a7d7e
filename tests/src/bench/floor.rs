//! What the writes of a command cost by themselves: the same ones, with the same clients and as many at once, in a bare loop.
//! Its sessions are never asked whether they live, and what goes over SQS goes in full batches where there is enough.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use aws_sdk_sqs::{
    Client,
    types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry},
};
use futures::{StreamExt, future::join_all, stream};
use painel_shared::{
    command::{Command, NewCommand},
    commands::{CommandType, ResetToken},
    events::{Event, Origin},
    ids::LeaseOwner,
    job::{Job, Work},
    time::{now, to_text},
    trace::TraceContext,
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Postgres, postgres::PgArguments, query::Query};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::bare::Bare;
use crate::{
    stack::{Stack, access_key},
    storm::Transport,
};

/// The effect, its record and its event, as the handler makes them.
const EFFECT: &str = "WITH recorded AS (SELECT taken, standing FROM record_success($1, $2, $3, $4)),
    rotated AS (
        UPDATE tenant_integrations SET credentials = $5, credentials_nonce = $6, credentials_key_id = 'floor',
            token_fingerprint = $7, token_rotated_at = now(), token_rotations = token_rotations + 1,
            status = 'pending', last_error = NULL
        WHERE id = $8 AND tenant_id = $9 AND (SELECT taken FROM recorded)
    )
    SELECT standing FROM recorded";

/// How many messages go together over SQS, and how many such batches at once.
const BATCH: usize = 10;
const BATCHES: usize = 4;

/// The bare loop.
pub(super) struct Floor {
    stack: &'static Stack,
    dynamodb: aws_sdk_dynamodb::Client,
    sessions: Sessions,
    queue: Queue,
    integrations: Vec<Uuid>,
}

enum Queue {
    RabbitMq(Box<Bare>),
    Sqs { client: Client, url: String },
}

impl Floor {
    pub(super) async fn begin(stack: &'static Stack, transport: Transport, integrations: &[Uuid]) -> Self {
        let (dynamodb, sqs) = stack.aws_urls();
        let at = async |url: &str| {
            let key = access_key();
            let keys = aws_sdk_dynamodb::config::Credentials::new(key.id, key.secret, None, None, "floor");
            aws_config::defaults(aws_config::BehaviorVersion::latest())
                .region(aws_config::Region::from_static("us-east-1"))
                .credentials_provider(keys)
                .endpoint_url(url)
                .load()
                .await
        };
        let queue = match transport {
            Transport::Rabbitmq => Queue::RabbitMq(Box::new(Bare::begin(stack).await)),
            Transport::Sqs => {
                let client = Client::new(&at(&sqs).await);
                let made = client.create_queue().queue_name("floor").send().await.unwrap();
                Queue::Sqs { client, url: made.queue_url.unwrap() }
            }
        };
        Self {
            stack,
            dynamodb: aws_sdk_dynamodb::Client::new(&at(&dynamodb).await),
            sessions: Sessions::of(stack).await,
            queue,
            integrations: integrations.to_vec(),
        }
    }

    /// Event, item and message of so many commands.
    pub(super) async fn accept(&self, count: usize, at_once: usize) -> Duration {
        let began = Instant::now();
        let stored = stream::iter(0..count).map(|n| self.store_one(n));
        match &self.queue {
            Queue::RabbitMq(bare) => {
                let published = stored.map(async |body| bare.publish(&body.await).await);
                published.buffer_unordered(at_once).collect::<()>().await;
            }
            Queue::Sqs { client, url } => {
                let batches = stored.buffer_unordered(at_once).ready_chunks(BATCH);
                batches.for_each_concurrent(BATCHES, |bodies| send(client, url, bodies)).await;
            }
        }
        began.elapsed()
    }

    /// Writes event and item; the message.
    async fn store_one(&self, n: usize) -> String {
        let parameters = json!({"integration_id": self.integrations[n % self.integrations.len()]});
        let new = NewCommand {
            command_type: CommandType::of::<ResetToken>(),
            tenant_id: Some(self.stack.example.tenant),
            parameters: parameters.as_object().cloned().unwrap(),
            reason: None,
            created_by: "floor".to_owned(),
            created_by_email: None,
            traceparent: TraceContext::root(),
        };
        let command = Command::accept(new, now());
        let event = serde_json::to_value([Event::requested(&command, Origin::default())]).unwrap();
        self.sessions.execute(sqlx::query("SELECT record_events($1)").bind(event)).await;
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(&command).unwrap();
        item.insert("due_shard".to_owned(), text("new#0"));
        item.insert("due_at".to_owned(), text(&to_text(now())));
        item.insert("write_id".to_owned(), text(&Uuid::new_v4().to_string()));
        self.dynamodb
            .put_item()
            .table_name("operational_commands")
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(command_id)")
            .send()
            .await
            .unwrap();
        Job::for_command(&command).encode().unwrap()
    }

    /// Claim, effect, finish and acknowledgement of so many commands.
    pub(super) async fn execute(&self, count: usize, at_once: usize) -> Duration {
        let began = Instant::now();
        match &self.queue {
            Queue::RabbitMq(bare) => bare.drain(count, at_once, async |body| self.execute_one(body).await).await,
            Queue::Sqs { client, url } => {
                let (received, mut messages) = mpsc::channel(at_once);
                let receivers =
                    join_all((0..at_once.div_ceil(BATCH)).map(|_| receive(client, url, received.clone())));
                let executed =
                    stream::poll_fn(|context| messages.poll_recv(context)).take(count).map(async |message| {
                        self.execute_one(message.body().unwrap()).await;
                        message
                    });
                let batches = executed.buffer_unordered(at_once).ready_chunks(BATCH);
                let deleted = batches.for_each_concurrent(BATCHES, |messages| delete(client, url, messages));
                tokio::select! {
                    _ = receivers => {}
                    () = deleted => {}
                }
            }
        }
        began.elapsed()
    }

    async fn execute_one(&self, body: &str) {
        let Work::Command(key) = Job::decode(body).unwrap().work else { panic!("a command's job") };
        let key = HashMap::from([
            ("command_id".to_owned(), text(&key.command_id.to_string())),
            ("created_at".to_owned(), text(&to_text(key.created_at))),
        ]);
        let lease = now() + Duration::from_secs(30);
        let update = || self.dynamodb.update_item().table_name("operational_commands").set_key(Some(key.clone()));
        let claimed = update()
            .condition_expression("#status = :pending AND not_before <= :now")
            .update_expression(
                "SET #status = :running, attempt = attempt + :one, fence = fence + :one, lease_owner = :owner, \
                 lease_expires_at = :until, started_at = :now, due_shard = :shard, due_at = :until, write_id = :write \
                 REMOVE next_publish_at",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", text("PENDING"))
            .expression_attribute_values(":running", text("RUNNING"))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":owner", text(&LeaseOwner::fresh().to_string()))
            .expression_attribute_values(":until", text(&to_text(lease)))
            .expression_attribute_values(":now", text(&to_text(now())))
            .expression_attribute_values(":shard", text("held#0"))
            .expression_attribute_values(":write", text(&Uuid::new_v4().to_string()))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .unwrap();
        let command: Command = serde_dynamo::from_item(claimed.attributes.unwrap()).unwrap();
        let result = json!({"integration_name": "floor", "token_fingerprint": "floor"});
        let result = result.as_object().cloned().unwrap();
        let event = Event::succeeded(&command, command.fence, &result);
        let integration: Uuid = command.parameters["integration_id"].as_str().unwrap().parse().unwrap();
        let effect = sqlx::query(EFFECT)
            .bind(command.id().uuid())
            .bind(1_i64)
            .bind(Value::Object(result.clone()))
            .bind(serde_json::to_value(event).unwrap())
            .bind([7_u8; 60])
            .bind([7_u8; 12])
            .bind("floor")
            .bind(integration)
            .bind(self.stack.example.tenant.uuid());
        self.sessions.execute(effect).await;
        update()
            .condition_expression("#status = :running AND fence = :fence AND lease_owner = :owner")
            .update_expression(
                "SET #status = :success, #result = :result, completed_at = :now, duration_ms = :one, write_id = :write \
                 REMOVE lease_owner, lease_expires_at, due_shard, due_at",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#result", "result")
            .expression_attribute_values(":running", text("RUNNING"))
            .expression_attribute_values(":success", text("SUCCESS"))
            .expression_attribute_values(":fence", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":owner", text(&command.lease_owner.unwrap().to_string()))
            .expression_attribute_values(":result", serde_dynamo::to_attribute_value(&result).unwrap())
            .expression_attribute_values(":now", text(&to_text(now())))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":write", text(&Uuid::new_v4().to_string()))
            .send()
            .await
            .unwrap();
    }

    /// Takes its queue away.
    pub(super) async fn end(self) {
        if let Queue::RabbitMq(bare) = &self.queue {
            bare.end().await;
        }
    }
}

/// As many sessions as a process of the product has, kept.
struct Sessions {
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
}

impl Sessions {
    async fn of(stack: &Stack) -> Self {
        let url = stack.vars.text("PAINEL_DATABASE_URL").unwrap();
        let mut idle = Vec::new();
        for _ in 0..stack.stores.db.service().options().get_max_connections() {
            idle.push(PgConnection::connect(url).await.unwrap());
        }
        Self { permits: Semaphore::new(idle.len()), idle: Mutex::new(idle) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(&self, query: Query<'_, Postgres, PgArguments>) {
        let _permit = self.permits.acquire().await.unwrap();
        let mut session = self.idle().pop().unwrap();
        query.execute(&mut session).await.unwrap();
        self.idle().push(session);
    }
}

async fn send(client: &Client, url: &str, bodies: Vec<String>) {
    let entries = bodies.into_iter().enumerate().map(|(n, body)| {
        SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body).build().unwrap()
    });
    let entries = entries.collect();
    client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await.unwrap();
}

/// Receives without end.
async fn receive(client: &Client, url: &str, received: mpsc::Sender<Message>) {
    loop {
        let asked = client.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(1);
        for message in asked.send().await.unwrap().messages.unwrap_or_default() {
            received.send(message).await.unwrap();
        }
    }
}

async fn delete(client: &Client, url: &str, messages: Vec<Message>) {
    let entries = messages.iter().enumerate().map(|(n, message)| {
        let handle = message.receipt_handle().unwrap();
        DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(handle).build().unwrap()
    });
    let entries = entries.collect();
    client.delete_message_batch().queue_url(url).set_entries(Some(entries)).send().await.unwrap();
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
