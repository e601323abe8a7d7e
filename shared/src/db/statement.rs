//! Statements that are prepared on a session when they are first asked there, and executed by their name from then on.
//!
//! Several are executed in one message of the simple protocol, which takes a role and a tenant for them alone. Values stand
//! in its text, so only such can be bound whose text holds nothing that could be taken for SQL.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use chrono::NaiveDate;
use sqlx::{FromRow, postgres::PgRow};
use uuid::Uuid;

use self::sealed::Piece;
use crate::{ids::TenantId, secrets::sha256_hex};

/// A statement whose rows are `R`. Made by [`statement!`](crate::statement), which has it checked against the schema.
#[derive(Debug)]
pub struct Statement<R> {
    sql: &'static str,
    prepared: OnceLock<Prepared>,
    rows: PhantomData<fn() -> R>,
}

/// How a statement is prepared, and under which name: another text has another name.
#[derive(Debug)]
struct Prepared {
    name: String,
    prepare: String,
}

impl<R> Statement<R> {
    /// One with that text, as `query_as!` takes it.
    pub const fn new(sql: &'static str) -> Self {
        Self { sql, prepared: OnceLock::new(), rows: PhantomData }
    }

    /// The statement with its values, in the order of their numbers.
    pub fn bind<const N: usize>(&'static self, values: [Value; N]) -> Bound<R> {
        let prepared = self.prepared.get_or_init(|| {
            let sql = plain(self.sql);
            let name = format!("painel_{}", sha256_hex(sql.as_bytes()).get(..24).unwrap_or_default());
            Prepared { prepare: format!("PREPARE {name} AS {sql}"), name }
        });
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let execute = match values.is_empty() {
            true => format!("EXECUTE {}", prepared.name),
            false => format!("EXECUTE {}({})", prepared.name, values.join(", ")),
        };
        Bound { piece: Piece { name: &prepared.name, prepare: &prepared.prepare, execute }, rows: PhantomData }
    }
}

/// The text without what `query_as!` reads from the columns' names: `AS "total!"` is `AS "total"`.
fn plain(sql: &str) -> String {
    let parts = sql.split('"').enumerate().map(|(n, part)| match n % 2 {
        // Within quotes.
        1 => part.split(['!', '?', ':']).next().unwrap_or_default(),
        _ => part,
    });
    parts.collect::<Vec<&str>>().join("\"")
}

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    None,
    /// A UUID.
    Uuid(Uuid),
    /// A day.
    Day(NaiveDate),
    /// A whole number.
    Integer(i64),
    /// A word that stands in the program: letters, digits and `_` alone.
    Word(&'static str),
    /// Any text. It stands there as the digits of its bytes.
    Text(String),
    /// A snapshot, as PostgreSQL writes it: digits, `:` and `,` alone.
    Snapshot(Arc<str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("NULL"),
            Self::Uuid(uuid) => write!(f, "'{uuid}'"),
            Self::Day(day) => write!(f, "'{day}'"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Word(word) => {
                let word: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                write!(f, "'{word}'")
            }
            // PostgreSQL's text cannot hold a NUL, so nothing equals what has one.
            Self::Text(text) if text.contains('\0') => f.write_str("NULL"),
            Self::Text(text) => write!(f, "convert_from(decode('{}', 'hex'), 'UTF8')", hex::encode(text)),
            Self::Snapshot(text) => {
                let text: String = text.chars().filter(|c| c.is_ascii_digit() || matches!(c, ':' | ',')).collect();
                write!(f, "'{text}'")
            }
        }
    }
}

impl From<Uuid> for Value {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<TenantId> for Value {
    fn from(tenant: TenantId) -> Self {
        Self::Uuid(tenant.uuid())
    }
}

impl From<NaiveDate> for Value {
    fn from(day: NaiveDate) -> Self {
        Self::Day(day)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Word(if is { "true" } else { "false" })
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// Something that is there.
#[derive(Debug, FromRow)]
pub struct Known {
    /// Which; that there is one says all.
    pub id: Uuid,
}

/// A statement with its values.
#[derive(Debug)]
pub struct Bound<R> {
    piece: Piece,
    rows: PhantomData<fn() -> R>,
}

/// Statements that are executed in one message, and see the database at one moment.
pub trait Batch: sealed::Pieces {
    /// The rows of each.
    type Answers: Send;
    /// Reads them, in order.
    fn read(&self, answers: &mut std::vec::IntoIter<Vec<PgRow>>) -> Result<Self::Answers, sqlx::Error>;
}

pub(super) mod sealed {
    /// What one statement adds to a message.
    #[derive(Clone, Debug)]
    pub struct Piece {
        pub(in super::super) name: &'static str,
        pub(in super::super) prepare: &'static str,
        pub(in super::super) execute: String,
    }

    pub trait Pieces {
        fn add_to(&self, pieces: &mut Vec<Piece>);
    }
}

impl<R> sealed::Pieces for Bound<R> {
    fn add_to(&self, pieces: &mut Vec<Piece>) {
        pieces.push(self.piece.clone());
    }
}

impl<R: for<'r> FromRow<'r, PgRow> + Send> Batch for Bound<R> {
    type Answers = Vec<R>;

    fn read(&self, answers: &mut std::vec::IntoIter<Vec<PgRow>>) -> Result<Vec<R>, sqlx::Error> {
        answers.next().unwrap_or_default().iter().map(R::from_row).collect()
    }
}

impl<B: sealed::Pieces> sealed::Pieces for Option<B> {
    fn add_to(&self, pieces: &mut Vec<Piece>) {
        if let Some(batch) = self {
            batch.add_to(pieces);
        }
    }
}

impl<B: Batch> Batch for Option<B> {
    type Answers = Option<B::Answers>;

    fn read(&self, answers: &mut std::vec::IntoIter<Vec<PgRow>>) -> Result<Self::Answers, sqlx::Error> {
        self.as_ref().map(|batch| batch.read(answers)).transpose()
    }
}

/// Statements beside each other.
macro_rules! batches {
    ($(($($part:ident),+)),+) => {$(
        impl<$($part: sealed::Pieces),+> sealed::Pieces for ($($part,)+) {
            fn add_to(&self, pieces: &mut Vec<Piece>) {
                #[expect(non_snake_case, reason = "each part is named as its type")]
                let ($($part,)+) = self;
                $($part.add_to(pieces);)+
            }
        }

        impl<$($part: Batch),+> Batch for ($($part,)+) {
            type Answers = ($($part::Answers,)+);

            fn read(&self, answers: &mut std::vec::IntoIter<Vec<PgRow>>) -> Result<Self::Answers, sqlx::Error> {
                #[expect(non_snake_case, reason = "each part is named as its type")]
                let ($($part,)+) = self;
                Ok(($($part.read(answers)?,)+))
            }
        }
    )+};
}

batches!((A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F));

/// Makes a [`Statement`](crate::db::Statement): its name, its rows, its text, and an example of each value, with which it is
/// compiled against the schema.
#[macro_export]
macro_rules! statement {
    ($(#[$meta:meta])* $visible:vis $name:ident: $rows:ident = $sql:tt $(, $example:expr)* $(,)?) => {
        $(#[$meta])*
        $visible static $name: $crate::db::Statement<$rows> = {
            // Compiled, and never run.
            let _ = || ::sqlx::query_as!($rows, $sql $(, $example)*);
            $crate::db::Statement::new($sql)
        };
    };
}
