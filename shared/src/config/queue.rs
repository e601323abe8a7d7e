//! How jobs travel.

use std::time::Duration;

use secrecy::SecretString;

use super::{ConfigError, Vars};

/// What carries the jobs: `PAINEL_QUEUE`, `sqs` (the default) or `rabbitmq`.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Amazon SQS.
    Sqs {
        /// `PAINEL_SQS_ENDPOINT`: where SQS is, if not at AWS.
        endpoint_url: Option<String>,
    },
    /// RabbitMQ.
    RabbitMq {
        /// `PAINEL_RABBITMQ_URL`, required then: `amqp://user:password@host/vhost`.
        url: SecretString,
        /// `PAINEL_RABBITMQ_PREFETCH`, default 48: jobs that the broker hands a worker at most; half as many again as it
        /// executes at once, if that is less.
        prefetch: u16,
    },
}

/// The transport and its limits.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// What carries the jobs.
    pub transport: Transport,
    /// `PAINEL_QUEUE_PREFIX`, default `painel`: what the queues' names begin with.
    pub prefix: String,
    /// `PAINEL_QUEUE_VISIBILITY_SECONDS`, default 30, on SQS: how long a delivered job is hidden from others;
    /// kept up while its handler runs.
    pub visibility: Duration,
    /// `PAINEL_QUEUE_TIMEOUT_MS`, default 500: the time limit of one call. A job that is not taken
    /// within it is published later by the reconciler.
    pub call_limit: Duration,
}

impl QueueConfig {
    /// Reads the variables named above.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Ok(Self {
            transport: transport(vars)?,
            prefix: vars.text_or("PAINEL_QUEUE_PREFIX", "painel"),
            visibility: vars.seconds_or("PAINEL_QUEUE_VISIBILITY_SECONDS", 30)?,
            call_limit: vars.millis_or("PAINEL_QUEUE_TIMEOUT_MS", 500)?,
        })
    }
}

fn transport(vars: &Vars) -> Result<Transport, ConfigError> {
    if !vars.word_or("PAINEL_QUEUE", &[("sqs", false), ("rabbitmq", true)], false)? {
        return Ok(Transport::Sqs { endpoint_url: vars.url("PAINEL_SQS_ENDPOINT", &["http", "https"])? });
    }
    let prefetch = vars.number_or("PAINEL_RABBITMQ_PREFETCH", 48)?;
    Ok(Transport::RabbitMq {
        url: SecretString::from(vars.required_url("PAINEL_RABBITMQ_URL", &["amqp", "amqps"])?),
        prefetch: u16::try_from(prefetch)
            .map_err(|_| ConfigError::new("PAINEL_RABBITMQ_PREFETCH", "must be at most 65535"))?,
    })
}
