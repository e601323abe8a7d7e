//! Reading a query string field by field, so that everything wrong with it is told at once.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug};

use actix_web::HttpRequest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::NaiveDate;
use painel_shared::{
    commands::{Fault, FieldError},
    db::Known,
    secrets::sha256,
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::problem::ApiError;

/// A query string being read.
#[derive(Debug)]
pub struct QueryFields {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl QueryFields {
    /// Starts reading. A parameter that stands twice is refused.
    pub fn of(request: &HttpRequest) -> Self {
        Self::read(request.query_string())
    }

    /// The same, of that text.
    pub fn read(text: &str) -> Self {
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new() };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else {
                fields.refuse("query", Fault::NotUtf8);
                continue;
            };
            match decoded(value) {
                None => fields.refuse(&name, Fault::NotUtf8),
                Some(value) => {
                    if fields.values.insert(name.clone(), value).is_some() {
                        fields.refuse(&name, Fault::Duplicate);
                    }
                }
            }
        }
        fields
    }

    /// The same, of parameters that are known.
    pub fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { values, errors: Vec::new() }
    }

    /// What follows that in the names of parameters, which are taken out.
    pub fn take_named(&mut self, prefix: &str) -> Vec<String> {
        let all = std::mem::take(&mut self.values);
        let (named, rest) = all.into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.values = rest;
        let named: BTreeMap<String, String> = named;
        named.into_keys().filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect()
    }

    /// The same without what a form leaves empty.
    pub fn without_empty(mut self) -> Self {
        self.values.retain(|_, value| !value.is_empty());
        self
    }

    /// The same without a parameter that somebody else reads.
    pub fn without(mut self, name: &str) -> Self {
        self.values.remove(name);
        self
    }

    /// The same with another value of a parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The value of a parameter, whatever it is.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Whether a parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A parameter that may be absent; `fault` is what is wrong where it cannot be read.
    pub fn optional<T>(
        &mut self,
        name: &str,
        fault: impl FnOnce() -> Fault,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.values.remove(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.refuse(name, fault());
        }
        parsed
    }

    /// A whole number within bounds, or the default.
    pub fn number(&mut self, name: &str, bounds: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let (min, max) = (*bounds.start(), *bounds.end());
        // Rust reads a sign as well.
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parse = |text: &str| text.parse().ok().filter(|number| is_plain(text) && bounds.contains(number));
        self.optional(name, || Fault::OutOfRange { min, max }, parse).unwrap_or(default)
    }

    /// A UUID, in its hyphenated form.
    pub fn uuid(&mut self, name: &str) -> Option<Uuid> {
        self.optional(name, || Fault::NotAUuid, |text| Uuid::try_parse(text).ok().filter(|_| text.len() == 36))
    }

    /// A day, as YYYY-MM-DD.
    pub fn date(&mut self, name: &str) -> Option<NaiveDate> {
        self.optional(name, || Fault::NotADay, painel_shared::time::day)
    }

    /// `from` and `to`: two days, of which the first must not be later than the second.
    pub fn days(&mut self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let days = (self.date("from"), self.date("to"));
        if let (Some(from), Some(to)) = days
            && from > to
        {
            self.refuse("from", Fault::NotAfter { other: "to" });
        }
        days
    }

    /// Text of 1 to `longest` characters, none of which is a control character.
    pub fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        let fits = |text: &str| (1..=longest).contains(&text.chars().count()) && !text.contains(char::is_control);
        self.optional(name, || Fault::NotALine { max: longest }, |text| fits(text).then(|| text.to_owned()))
    }

    /// One of a few words, each with its meaning.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let allowed = || Fault::not_one_of(words.iter().map(|(word, _)| *word));
        let known = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        self.optional(name, allowed, known)
    }

    /// Notes that a parameter is wrong.
    pub fn refuse(&mut self, name: &str, fault: Fault) {
        self.errors.push(FieldError::new(name, fault));
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.values) {
            self.refuse(&name, Fault::Unknown);
        }
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::Validation(self.errors)),
        }
    }
}

/// The text that a form wrote so; none where its bytes are no UTF-8.
fn decoded(written: &str) -> Option<String> {
    let spaced = written.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// A UUID that stands in the path.
pub fn uuid_in_path(name: &str, text: &str) -> Result<Uuid, ApiError> {
    let parsed = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    parsed.ok_or_else(|| ApiError::field(name, Fault::NotAUuid))
}

/// Which part of a long list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// How many at most.
    pub limit: i64,
    /// How many are passed over.
    pub offset: i64,
}

impl Page {
    /// The farthest that an offset may lead.
    const FARTHEST: u32 = 1_000_000;

    /// Reads `limit` (1 to 100) and `offset` (from 0).
    pub fn read(fields: &mut QueryFields, default_limit: u32) -> Self {
        Self {
            limit: fields.number("limit", 1..=100, default_limit).into(),
            offset: fields.number("offset", 0..=Self::FARTHEST, 0).into(),
        }
    }
}

/// A list, and what was asked of it: a cursor leads on in that one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct List(u64);

#[derive(Serialize, Deserialize)]
struct CursorText<P> {
    of: u64,
    at: P,
}

impl List {
    /// The list of that name, filtered so.
    pub fn new(name: &str, filter: &impl Debug) -> Self {
        let hash = sha256(format!("{name} {filter:?}").as_bytes());
        Self(hash.as_ref().first_chunk().map_or(0, |begin| u64::from_be_bytes(*begin)))
    }

    /// The cursor that leads on behind that place.
    pub fn cursor(self, at: &impl Serialize) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&CursorText { of: self.0, at }).unwrap_or_default())
    }

    /// Reads `cursor`: the place behind which it leads on.
    pub fn place<P: DeserializeOwned>(self, fields: &mut QueryFields) -> Option<P> {
        let read = |text: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
            let cursor: CursorText<P> = serde_json::from_slice(&bytes).ok()?;
            (cursor.of == self.0).then_some(cursor.at)
        };
        fields.optional("cursor", || Fault::BadCursor, read)
    }
}

/// Which part of a list is asked for that is ordered by something, and then by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct After {
    /// How many at most.
    pub limit: u32,
    /// Behind which one.
    pub after: Option<Uuid>,
    list: List,
}

impl After {
    /// Reads `limit` (1 to 100) and `cursor`, of that list.
    pub fn read(fields: &mut QueryFields, default_limit: u32, list: List) -> Self {
        Self { limit: fields.number("limit", 1..=100, default_limit), after: list.place(fields), list }
    }

    /// So many are asked for, so that it shows whether there are more.
    pub fn one_more(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Refuses a cursor behind which nothing can be.
    pub fn check(self, known: &[Known]) -> Result<(), ApiError> {
        if self.after.is_some() && known.is_empty() {
            Err(ApiError::field("cursor", Fault::BadCursor))
        } else {
            Ok(())
        }
    }

    /// Leaves the page; the cursor of the next one, if there is one.
    pub fn cut<T>(self, rows: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> Option<String> {
        cut(rows, self.limit as usize, id).map(|id| self.list.cursor(&id))
    }
}

/// Leaves a page of so many, of which one more was asked for; the place of its last one, where there are more.
pub fn cut<T, P>(rows: &mut Vec<T>, page: usize, place: impl Fn(&T) -> P) -> Option<P> {
    let more = rows.len() > page;
    rows.truncate(page);
    rows.last().filter(|_| more).map(place)
}
