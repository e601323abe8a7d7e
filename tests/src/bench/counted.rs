//! What a command costs in exchanges with the stores, through proxies that count.

use std::fmt;

use crate::{exchanges::Exchanges, lossy::Lossy, stack::Stack};

/// Proxies before the stores of one process.
pub(super) struct Counting {
    dynamodb: Lossy,
    postgres: Exchanges,
    postgres_url: String,
    before: Count,
}

/// How many exchanges there have been.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    dynamodb: u64,
    postgres: u64,
}

impl Counting {
    pub(super) async fn before(stack: &Stack) -> Self {
        let dynamodb = Lossy::before(&stack.aws_urls().0).await;
        let (postgres, postgres_url) = Exchanges::before(&stack.vars).await;
        Self { dynamodb, postgres, postgres_url, before: Count::default() }
    }

    /// What a process is configured with that is to be counted.
    pub(super) fn set(&self) -> [(&'static str, String); 2] {
        [("PAINEL_DYNAMODB_ENDPOINT", self.dynamodb.url()), ("PAINEL_DATABASE_URL", self.postgres_url.clone())]
    }

    /// Counts from now on.
    pub(super) fn begin(&mut self) {
        self.before = self.count();
    }

    fn count(&self) -> Count {
        Count { dynamodb: self.dynamodb.traffic().0 as u64, postgres: self.postgres.count() }
    }

    /// How many there have been since it began to count, for each of so many commands.
    pub(super) fn for_each_of(&self, commands: usize) -> ForEach {
        let (now, before) = (self.count(), self.before);
        let for_each = |now: u64, before: u64| (now - before) as f64 / commands as f64;
        ForEach {
            dynamodb: for_each(now.dynamodb, before.dynamodb),
            postgres: for_each(now.postgres, before.postgres),
        }
    }
}

/// Exchanges a command.
pub(super) struct ForEach {
    dynamodb: f64,
    postgres: f64,
}

impl fmt::Display for ForEach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}, {:.2}", self.dynamodb, self.postgres)
    }
}
